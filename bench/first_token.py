"""How long from starting the server's process to the first token of `/generate`, SmolLM2, embedded default.

Starts `inkling serve` on a free port with an empty data directory, asks for a streamed completion as soon as the
port answers, and stops the clock at the first event. Repeats, and prints each round and the median.
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

BODY = {"prompt": "The sea was calm and", "max_new_tokens": 16, "temperature": 0, "stream": True}


def one_round(port: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as data_dir:
        environment = os.environ | {"INKLING_DATA_DIR": data_dir, "INKLING_PORT": str(port)}
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env=environment)
        try:
            answered = wait_for(port, started)
            first, last, tokens = generate(port)
            return {
                "answers_s": answered - started,
                "first_token_s": first - started,
                "decode_tokens_per_s": (tokens - 1) / (last - first),
            }
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def wait_for(port: int, started: float) -> float:
    while time.perf_counter() - started < 120:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).raise_for_status()
            return time.perf_counter()
        except httpx.ConnectError:
            time.sleep(0.02)
    raise SystemExit("the server did not answer within two minutes")


def generate(port: int) -> tuple[float, float, int]:
    times: list[float] = []
    with httpx.stream("POST", f"http://127.0.0.1:{port}/generate", json=BODY, timeout=120) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if line.startswith("data: {") and '"token"' in line:
                times.append(time.perf_counter())
    return times[0], times[-1], len(times)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    rounds = [one_round(free_port()) for _ in range(arguments.parse_args().rounds)]
    for name in rounds[0]:
        values = sorted(r[name] for r in rounds)
        spread = f"{values[0]:.2f} to {values[-1]:.2f}, {len(values)} rounds"
        print(f"{name:22} median {statistics.median(values):6.2f}   {spread}")


if __name__ == "__main__":
    main()
