"""Served over HTTP: tokens a second and time to the first token with 1, 8 and 32 clients, beside llama.cpp's server.

    python -m bench.serve --llama DIR       # DIR has llama-server and llama-quantize; without it, Inkling alone

Every client sends prompts of 128 fresh tokens, one after the other, and reads 64 new ones of each as a stream. Servers
take turns, round by round; both get the same requests over /v1/completions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.processes import cpu_seconds, free_port, running, started

MODEL = "smollm2-135m-instruct"
NO_END = {"inkling": {"logit_bias": {"0": -100, "2": -100}}, "llama.cpp": {"ignore_eos": True}}  # nobody stops early
PROMPT_TOKENS, NEW_TOKENS = 128, 64
NO_LIMIT = httpx.Limits(max_connections=None)
ASSETS = Path(sys.prefix) / "share" / "inkling"


@dataclass
class Server:
    name: str
    url: str
    pid: int
    rates: dict[int, list[float]] = field(default_factory=dict)  # new tokens a second, by clients
    first: dict[int, list[float]] = field(default_factory=dict)  # seconds to the first token
    cpu: dict[int, list[float]] = field(default_factory=dict)  # processor seconds a new token


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", type=Path, help="folder of llama.cpp's programs")
    parser.add_argument("--formats", default="int4:Q4_1,int8:Q8_0", help="pairs of our dtype and a GGUF type")
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for pair in options.formats.split(","):
        dtype, _, quantised = pair.partition(":")
        with ExitStack() as stack:
            servers = [stack.enter_context(inkling(dtype))]
            if options.llama:
                servers.append(stack.enter_context(llama(options.llama, quantised)))
            for server in servers:
                asyncio.run(load(server, 1, 1))
            for _ in range(options.rounds):
                for count in map(int, options.clients.split(",")):
                    for server in servers:
                        asyncio.run(measured(server, count))
            tell(servers)


async def measured(server: Server, clients: int) -> None:
    before, started = cpu_seconds(server.pid), time.perf_counter()
    each = max(2, 16 // clients)
    first = await load(server, clients, each)
    taken, tokens = time.perf_counter() - started, clients * each * NEW_TOKENS
    server.rates.setdefault(clients, []).append(tokens / taken)
    server.first.setdefault(clients, []).extend(first)
    server.cpu.setdefault(clients, []).append((cpu_seconds(server.pid) - before) / tokens)


async def load(server: Server, clients: int, each: int) -> list[float]:
    """Seconds to the first token of every request."""
    async with httpx.AsyncClient(timeout=300, limits=NO_LIMIT, headers={"connection": "close"}) as client:

        async def one() -> list[float]:
            return [await request(client, server) for _ in range(each)]

        return [seconds for own in await asyncio.gather(*(one() for _ in range(clients))) for seconds in own]


async def request(client: httpx.AsyncClient, server: Server) -> float:
    prompt = [random.randrange(1000, 40000) for _ in range(PROMPT_TOKENS)]
    body = {"model": MODEL, "prompt": prompt, "max_tokens": NEW_TOKENS, "temperature": 0, "stream": True}
    body |= NO_END[server.name.split()[0]]
    body |= {"stream_options": {"include_usage": True}}
    started, first, written = time.perf_counter(), 0.0, 0
    async with client.stream("POST", f"{server.url}/v1/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                first = first or time.perf_counter() - started
                usage = json.loads(line[6:]).get("usage")
                written = usage["completion_tokens"] if usage else written
    assert written == NEW_TOKENS, f"{written} tokens of {NEW_TOKENS}"
    return first


def tell(servers: list[Server]) -> None:
    for clients in servers[0].rates:
        for server in servers:
            rates, first = server.rates[clients], sorted(server.first[clients])
            print(
                f"{clients:3} clients  {server.name:16} {statistics.median(rates):7.1f} tokens/s "
                f"({min(rates):.1f} to {max(rates):.1f})  first token p50 {statistics.median(first) * 1000:6.0f} ms "
                f"p95 {first[int(0.95 * (len(first) - 1))] * 1000:6.0f} ms  "
                f"{statistics.median(server.cpu[clients]) * 1000:6.2f} CPU ms/token"
            )
        for peer in servers[1:]:
            ratios = [
                ours / theirs for ours, theirs in zip(servers[0].rates[clients], peer.rates[clients], strict=True)
            ]
            print(
                f"{clients:3} clients  {servers[0].name} / {peer.name}: {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )


@contextmanager
def inkling(dtype: str) -> Iterator[Server]:
    with started("serve", INKLING_DTYPE=dtype) as (url, pid):
        yield Server(f"inkling {dtype}", url, pid)


@contextmanager
def llama(folder: Path, quantised: str) -> Iterator[Server]:
    port = free_port()
    weights = ASSETS / "SmolLM2-135M-Instruct.Q4_1.gguf"
    with tempfile.TemporaryDirectory() as data:
        if quantised != "Q4_1":
            made = Path(data, f"{quantised}.gguf")
            quantise = [str(folder / "llama-quantize"), "--allow-requantize", str(weights), str(made), quantised]
            subprocess.run(quantise, check=True, capture_output=True)
            weights = made
        slots = 32
        command = [
            *(str(folder / "llama-server"), "-m", str(weights), "--port", str(port), "--host", "127.0.0.1"),
            *("-np", str(slots), "-c", str(256 * slots), "-t", str(os.cpu_count())),
        ]
        with running(command, f"http://127.0.0.1:{port}", "/health", dict(os.environ)) as pid:
            yield Server(f"llama.cpp {quantised}", f"http://127.0.0.1:{port}", pid)


if __name__ == "__main__":
    main()
