"""CPU time a token of the engine alone: what `bench/serve.py` shows for a server, without the server and HTTP.

    python -m bench.engine_cost [--dtype int4] [--streams 8] [--served]

Streams of 128 fresh tokens in and 64 out, each followed by another, as the clients of `bench/serve.py` do. With
`--served` a server takes turns with it, and what a token costs through HTTP is told as a ratio, round by round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from app.config import Settings
from app.db.migrate import migrate
from app.llm.config import SamplingParams
from app.llm.engine.engine import Engine
from app.llm.engine.request import Request, TokenEvent
from app.services import model_files, runners
from app.services.runtime import Runtime
from bench.generate import ASSETS, MODEL, NEW, _prompt
from bench.serve import inkling, load, measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="int4")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--served", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch, ExitStack() as stack:
        settings = Settings(
            _env_file=None, data_dir=Path(scratch), assets_dir=ASSETS, dtype=options.dtype, threads=os.cpu_count() or 1
        )
        runtime = Runtime.open(settings)
        migrate(runtime.database)
        with runtime.database.read() as session:
            place = model_files.find(session, runtime.storage, MODEL)
        engine = Engine(runners.make(model_files.read(place).network, settings))
        torch.set_num_threads(1)  # as in the engine's thread of a server
        run(engine, options.streams, 1)  # once for the caches
        server = stack.enter_context(inkling(options.dtype)) if options.served else None
        if server is not None:
            asyncio.run(load(server, options.streams, 1))
        found, ratios = [], []
        for _ in range(options.rounds):
            found.append(run(engine, options.streams, 2))
            if server is not None:
                asyncio.run(measured(server, options.streams))
                ratios.append(server.cpu[options.streams][-1] * 1000 / found[-1][0])
        runtime.close()
    about = f"engine {options.dtype}, {options.streams} streams"
    tell(about, "CPU ms/token", [cpu for cpu, _ in found])
    tell(about, "tokens/s", [rate for _, rate in found])
    if server is not None:
        tell(about, "CPU ms/token through HTTP", [seconds * 1000 for seconds in server.cpu[options.streams]])
        tell(about, "tokens/s through HTTP", server.rates[options.streams])
        tell(about, "times the engine's own CPU time a token", ratios)


def tell(about: str, name: str, values: list[float]) -> None:
    print(f"{about}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}) {name}")


def run(engine: Engine, streams: int, each: int) -> tuple[float, float]:
    """CPU milliseconds a new token, and new tokens a second, of `each` requests one after the other in every stream."""
    params = SamplingParams(NEW, temperature=0.0, logit_bias=((0, -100.0), (2, -100.0)))  # nobody stops early
    waiting = [Request(str(number), tuple(_prompt()), params) for number in range(streams * each)]
    for request in waiting[:streams]:
        engine.add(request)
    waiting = waiting[streams:]
    started, cpu, written, open_ones = time.perf_counter(), time.process_time(), 0, streams
    while open_ones:
        for event in engine.step():
            assert isinstance(event, TokenEvent), event
            written += 1
            if event.finish_reason is not None:
                open_ones -= 1
                if waiting:
                    engine.add(waiting.pop())
                    open_ones += 1
    assert written == streams * each * NEW, f"{written} tokens written"
    return (time.process_time() - cpu) / written * 1000, written / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
