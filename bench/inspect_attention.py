"""How long `/inspect` takes for all of SmolLM2's attention over 200 tokens, as base64: 43 MB of float32.

Starts `inkling serve` on a free port with an empty data directory, asks once to warm up, then repeats, each time until
the last byte has arrived, and prints each round with the processor time of the server and how busy the machine was,
then the medians.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import httpx

TEXT = "The lighthouse keeper opened the door, looked at the calm sea, and wrote the hour into his book. " * 12
TOKENS = 200


def wait_until_ready(url: str) -> None:
    for _ in range(2400):
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise SystemExit("the server was not ready within two minutes")


def one_round(url: str, ids: list[int]) -> tuple[float, int]:
    body = {"ids": ids, "want": ["attention"], "encoding": "base64"}
    started, size = time.perf_counter(), 0
    with httpx.stream("POST", f"{url}/inspect", json=body, timeout=120) as answer:
        answer.raise_for_status()
        for piece in answer.iter_raw():
            size += len(piece)
    return time.perf_counter() - started, size


def processor_s(process: int) -> float:
    """User and system time of a process so far (Linux)."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(url: str, rounds: int, process: int) -> None:
    wait_until_ready(url)
    ids = httpx.post(f"{url}/encode", json={"text": TEXT, "tokenizer": "smollm2"}).json()["ids"][:TOKENS]
    one_round(url, ids)
    times, worked = [], []
    for number in range(rounds):
        before = processor_s(process)
        seconds, size = one_round(url, ids)
        times.append(seconds)
        worked.append(processor_s(process) - before)
        told = f"{seconds:.2f} s, {worked[-1]:.2f} s of processor, {size:,} bytes, load {os.getloadavg()[0]:.1f}"
        print(f"round {number + 1}: {told}", flush=True)
    print(f"median of {rounds}: {statistics.median(times):.2f} s, {statistics.median(worked):.2f} s of processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as data_dir:
        environment = os.environ | {"INKLING_DATA_DIR": data_dir, "INKLING_PORT": str(port)}
        process = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env=environment)
        try:
            measure(f"http://127.0.0.1:{port}", rounds, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


if __name__ == "__main__":
    main()
