"""What a served SmolLM2 holds in memory, and how long its float32 weights are waited for when something reads them.

Starts `inkling serve` on a free port with an empty data directory, and prints the process's anonymous and its
file-backed memory (Linux) once it is ready, after a text, after `/inspect`, and `--rest` seconds later. Then unloads
the model and loads it again, `--rounds` times, and times the first `/inspect` and the second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import httpx

from bench.processes import started

MODEL = "smollm2-135m-instruct"
TEXT = {"prompt": "The sea was calm and", "max_new_tokens": 64, "temperature": 0}
INSPECTION = {"text": "The sea was calm and", "want": ["loss"]}
VECTOR = {"model": MODEL, "input": "The sea was calm and"}


def memory_of(process: int) -> str:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    kinds = ("RssAnon", "RssFile", "VmHWM")
    return ", ".join(f"{kind} {int(fields[kind].split()[0]) * 1024 / 1e6:,.0f} MB" for kind in kinds)


def post(url: str, path: str, body: object = None) -> float:
    """Seconds until the answer was there."""
    started = time.perf_counter()
    httpx.post(f"{url}{path}", json=body, timeout=300).raise_for_status()
    return time.perf_counter() - started


def measure(url: str, process: int, rounds: int, rest_s: float) -> None:
    print(f"ready: {memory_of(process)}", flush=True)
    for what, path, body in (
        ("a text", "/generate", TEXT),
        ("/inspect", "/inspect", INSPECTION),
        ("/v1/embeddings", "/v1/embeddings", VECTOR),
    ):
        seconds = post(url, path, body)
        print(f"after {what}, {seconds:.2f} s: {memory_of(process)}", flush=True)
    time.sleep(rest_s)
    print(f"after {rest_s:g} s of rest: {memory_of(process)}", flush=True)
    firsts, others = [], []
    for number in range(rounds):
        post(url, f"/models/{MODEL}/unload")
        post(url, f"/models/{MODEL}/load")
        post(url, "/generate", TEXT)
        firsts.append(post(url, "/inspect", INSPECTION))
        others.append(post(url, "/inspect", INSPECTION))
        told = f"first /inspect {firsts[-1]:.3f} s, second {others[-1]:.3f} s, load {os.getloadavg()[0]:.1f}"
        print(f"round {number + 1}: {told}", flush=True)
    if rounds:
        print(f"median of {rounds}: first {statistics.median(firsts):.3f} s, second {statistics.median(others):.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rest", type=float, default=90.0)
    arguments = parser.parse_args()
    with started("serve") as (url, pid):
        measure(url, pid, arguments.rounds, arguments.rest)


if __name__ == "__main__":
    main()
