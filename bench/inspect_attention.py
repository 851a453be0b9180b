"""How long `/inspect` takes for all of SmolLM2's attention over 200 tokens, as base64: 43 MB of float32.

Starts `inkling serve` on a free port with an empty data directory, asks once to warm up, then repeats, each time until
the last byte has arrived, and prints each round with the processor time of the server and how busy the machine was,
then the medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import httpx

from bench.processes import cpu_seconds, started

TEXT = "The lighthouse keeper opened the door, looked at the calm sea, and wrote the hour into his book. " * 12
TOKENS = 200


def one_round(url: str, ids: list[int]) -> tuple[float, int]:
    body = {"ids": ids, "want": ["attention"], "encoding": "base64"}
    started, size = time.perf_counter(), 0
    with httpx.stream("POST", f"{url}/inspect", json=body, timeout=120) as answer:
        answer.raise_for_status()
        for piece in answer.iter_raw():
            size += len(piece)
    return time.perf_counter() - started, size


def measure(url: str, rounds: int, process: int) -> None:
    ids = httpx.post(f"{url}/encode", json={"text": TEXT, "tokenizer": "smollm2"}).json()["ids"][:TOKENS]
    one_round(url, ids)
    times, worked = [], []
    for number in range(rounds):
        before = cpu_seconds(process)
        seconds, size = one_round(url, ids)
        times.append(seconds)
        worked.append(cpu_seconds(process) - before)
        told = f"{seconds:.2f} s, {worked[-1]:.2f} s of processor, {size:,} bytes, load {os.getloadavg()[0]:.1f}"
        print(f"round {number + 1}: {told}", flush=True)
    print(f"median of {rounds}: {statistics.median(times):.2f} s, {statistics.median(worked):.2f} s of processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with started("serve") as (url, pid):
        measure(url, rounds, pid)


if __name__ == "__main__":
    main()
