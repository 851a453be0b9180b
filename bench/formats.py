"""The engine's steps on SmolLM2-135M in every weight format, by our kernels and by PyTorch's operators alone.

    python -m bench.formats [--threads 1] [--rounds 3] [--only torch:int8,kernels:int8] [--processor-time]

Prints, for each, tokens a second of reading a prompt of 256 tokens, and of single steps with 1, 8 and 32 requests that
have 130 tokens behind them: medians over the rounds, with the least and the most. Rounds take turns. Where others keep
the cores busy, seconds of one thread's processor time say more than those of the clock: `--processor-time`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch

from app.config import get_settings
from app.llm.config import Dtype
from app.llm.engine.runner import Chunk, Runner, Wanted
from app.llm.kernels.build import NoKernels
from app.llm.kernels.native import NativeRunner, threads
from app.llm.model.transformer import Transformer
from app.llm.weights.gguf import load_gguf
from app.services.model_files import BUILT_IN
from app.services.runners import kernels_folder, without_kernels
from app.services.storage import Storage

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "int8", "int4")
PROMPT, BEHIND, ROOM = 256, 130, 160
REQUESTS = (1, 8, 32)
STEPS_S = 1.0
"""Seconds that steps of a kind are repeated for, in each round."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="such as torch:int8,kernels:int8")
    parser.add_argument("--processor-time", action="store_true", help="count seconds of the processor, on one thread")
    given = parser.parse_args()
    if given.processor_time:
        given.threads = 1
    clock = time.process_time if given.processor_time else time.perf_counter
    torch.set_num_threads(given.threads)
    settings = get_settings()
    shipped = BUILT_IN["smollm2-135m-instruct"]
    network = load_gguf(Storage(settings.data_dir, settings.assets_dir).asset(shipped.file_name)).eval()
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(given.rounds):
        for by in ("torch", "kernels"):
            for dtype in DTYPES:
                name = f"{by}:{dtype}"
                if given.only and name not in given.only.split(","):
                    continue
                for what, rate in measured(a_runner(network, by, dtype, given.threads), clock):
                    figures[name, what].append(rate)
    seconds = "tokens a second of the processor" if given.processor_time else "tokens a second"
    print(f"torch {torch.__version__}, {given.threads} threads, {given.rounds} rounds; {seconds}")
    for (name, what), rates in figures.items():
        print(f"{name:18} {what:12} {statistics.median(rates):8.1f} ({min(rates):.1f} to {max(rates):.1f})")


def a_runner(network: Transformer, by: str, dtype: Dtype, count: int) -> Runner:
    settings = get_settings(dtype=dtype, kv_cache_tokens=ROOM * max(REQUESTS))
    if by == "torch":
        return without_kernels(network, dtype, settings)
    try:
        pool = threads(kernels_folder(settings), count)
    except NoKernels as error:
        raise SystemExit(f"no kernels: {error}; --only names what needs none") from None
    return NativeRunner(network, dtype, kv_cache_tokens=settings.kv_cache_tokens, threads=pool)


def measured(runner: Runner, clock: Callable[[], float]) -> Iterator[tuple[str, float]]:
    """What is measured, and its tokens a second."""
    ids = torch.randint(1000, 40_000, (PROMPT,), generator=torch.Generator().manual_seed(0)).tolist()
    size = runner.block_tokens
    places = [range(-(-ROOM // size) * number, -(-ROOM // size) * (number + 1)) for number in range(max(REQUESTS))]
    whole = range(-(-PROMPT // size))
    yield "prefill", PROMPT / median_s(lambda: runner.run([Chunk(ids, 0, whole, Wanted.LAST)]), clock)
    for place in places:
        runner.run([Chunk(ids[:BEHIND], 0, place, Wanted.NONE)])
    for count in REQUESTS:
        step = [Chunk([ids[0]], BEHIND, place, Wanted.LAST) for place in places[:count]]
        yield f"{count} at once", count / median_s(lambda step=step: runner.run(step), clock)


def median_s(work: Callable[[], object], clock: Callable[[], float]) -> float:
    work()
    taken: list[float] = []
    while sum(taken) < STEPS_S or len(taken) < 3:
        start = clock()
        work()
        taken.append(clock() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
