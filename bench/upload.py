"""What a large text costs the web process in memory: uploaded, reported on, encoded for a job, trained on and sampled.

    python -m bench.upload              # 1 GB: some ten minutes on two cores, and 4 GB of scratch
    python -m bench.upload --mb 50

Starts `inkling up` on an empty data directory, makes a text of words by chance, and follows the server's anonymous
memory (RssAnon in /proc, so Linux) five times a second from idle on. Everything is removed at the end.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.processes import started

EVERY_S = 0.2
BOUND = 100_000_000
"""Bytes of anonymous memory above idle that the server may take."""
MB = 1_000_000
SETTLED_S, SETTLES_WITHIN_S = 10, 120
TRAIN = {
    "max_steps": 4,
    "batch_size": 2,
    "context_length": 64,
    "sample_every": 2,
    "sample_tokens": 8,
    "eval_batches": 1,
}


@dataclass
class Found:
    """Anonymous memory in bytes, and what was told while it went on."""

    idle: int
    peaks: dict[str, int] = field(default_factory=dict)  # by stage
    seconds: dict[str, float] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)  # events of the job

    @property
    def above_idle(self) -> int:
        return max(self.peaks.values()) - self.idle


def make_text(path: Path, size: int) -> None:
    """About so many bytes of lines of words by chance."""
    chance = random.Random(1)
    letters = "etaoinshrdlu"
    words = ["".join(chance.choices(letters, k=chance.randint(1, 9))) for _ in range(5_000)]
    blocks = [" ".join(chance.choices(words, k=2_500)) + "\n" for _ in range(200)]
    left = size
    with path.open("w") as file:
        while left > 0:
            left -= file.write(chance.choice(blocks))


def anonymous_bytes(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell RssAnon")


def settled_bytes(process: int) -> int:
    """Anonymous memory once it has stayed the same for a while: a server that has just started still gives back."""
    seen: list[int] = []
    for _ in range(SETTLES_WITHIN_S):
        seen.append(anonymous_bytes(process))
        last = seen[-SETTLED_S:]
        if len(last) == SETTLED_S and max(last) - min(last) < MB:
            break
        time.sleep(1)
    return seen[-1]


def follow(url: str, process: int, text: Path) -> Found:
    """Take `text` through the service at `url`, whose server is `process`."""
    found = Found(idle=settled_bytes(process))
    with httpx.Client(base_url=url, timeout=3600) as client:
        with _stage(found, process, "upload"), text.open("rb") as file:
            dataset = _call(client, "POST", "/datasets", files={"file": ("large.txt", file, "text/plain")})
        with _stage(found, process, "report"):
            _call(client, "GET", f"/datasets/{dataset['id']}/report")
        with _stage(found, process, "job"):
            asked = {"recipe": "pretrain", "dataset": dataset["id"], "model": {"preset": "gpt-tiny"}, "train": TRAIN}
            _wait(client, _call(client, "POST", "/jobs", json=asked)["id"], found)
    return found


@contextmanager
def _stage(found: Found, process: int, name: str) -> Iterator[None]:
    done, began = threading.Event(), time.monotonic()
    found.peaks[name] = anonymous_bytes(process)

    def watch() -> None:
        while not done.wait(EVERY_S):
            found.peaks[name] = max(found.peaks[name], anonymous_bytes(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        found.seconds[name] = time.monotonic() - began


def _wait(client: httpx.Client, job_id: str, found: Found) -> None:
    while True:
        row = _call(client, "GET", f"/jobs/{job_id}")
        if row["status"] in ("succeeded", "failed", "cancelled"):
            break
        time.sleep(1)
    events = _call(client, "GET", f"/jobs/{job_id}/events?limit=100")["data"]
    found.told = [f"{event['type']}: {event['message']}" for event in events]
    if row["status"] != "succeeded":
        raise RuntimeError(f"the job ended as {row['status']}: {row['error']}")


def _call(client: httpx.Client, method: str, path: str, **body: Any) -> dict[str, Any]:
    answer = client.request(method, path, **body)
    if answer.is_error:
        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
    told: dict[str, Any] = answer.json()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1000)
    size = parser.parse_args().mb * MB
    with tempfile.TemporaryDirectory() as scratch:
        make_text(Path(scratch, "text"), size)
        with started("up", INKLING_MAX_UPLOAD_BYTES=str(2 * size)) as (url, pid):
            tell(follow(url, pid, Path(scratch, "text")))


def tell(found: Found) -> None:
    print(f"idle: {found.idle / MB:,.0f} MB anonymous")
    for stage, peak in found.peaks.items():
        print(f"{stage:7} {found.seconds[stage]:6.1f} s, at most {(peak - found.idle) / MB:+,.1f} MB above idle")
    print("\n".join(found.told))
    print(f"{'within' if found.above_idle <= BOUND else 'BEYOND'} the bound of {BOUND / MB:,.0f} MB")


if __name__ == "__main__":
    main()
