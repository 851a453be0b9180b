"""Fuzzers as processes with bounds, and the inputs that are worth keeping, in a file of text for each."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).parent / "corpus"
NAMES = sorted(path.stem for path in CORPUS.glob("*.txt"))
MEMORY_MB = 512
INPUT_S = 30  # a template that hangs costs two processes, which take their time where all cores are taken
KEPT_BYTES = 32 * 1024
"""Of each fuzzer's inputs, as bytes; one may be longer by itself."""


def kept(name: str) -> list[bytes]:
    return [base64.b64decode(line) for line in (CORPUS / f"{name}.txt").read_text().split()]


def keep(name: str, inputs: list[bytes]) -> None:
    """Write the corpus anew: what was there, and the shortest of these, as far as there is room."""
    chosen = kept(name)
    size = sum(map(len, chosen))
    for each in sorted(set(inputs) - set(chosen), key=lambda each: (len(each), each)):
        if size + len(each) <= KEPT_BYTES:
            chosen.append(each)
            size += len(each)
    lines = [base64.b64encode(each).decode() for each in sorted(chosen, key=lambda each: (len(each), each))]
    (CORPUS / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


@dataclass(frozen=True)
class Outcome:
    """What a fuzzer did. `log` is the end of what it said, which holds an input that broke something."""

    name: str
    status: int
    log: str
    inputs: int
    slowest_s: int
    peak_mb: int
    corpus: list[bytes]


def fuzz(name: str, seconds: int, folder: Path, *, merge: bool, seed: int = 0) -> Outcome:
    """Run a fuzzer from its corpus on.

    Args:
        merge: leave the fewest inputs that reach all that was reached.
        seed: of the changes that are tried; 0: of the clock's.
    """
    begun, merged = folder / "begun", folder / "merged"
    for place in (begun, merged):
        place.mkdir(parents=True)
    for each in kept(name):
        (begun / hashlib.sha256(each).hexdigest()).write_bytes(each)
    bounds = [f"-rss_limit_mb={MEMORY_MB}", f"-timeout={INPUT_S}", f"-artifact_prefix={folder}/"]
    done = _run(name, [*bounds, f"-max_total_time={seconds}", f"-seed={seed}", "-print_final_stats=1", str(begun)])
    if done.returncode == 0 and merge:
        _run(name, [*bounds, "-merge=1", str(merged), str(begun)]).check_returncode()
    told = {each: int(value) for each, value in re.findall(r"^stat::(\w+):\s+(\d+)", done.stderr, re.MULTILINE)}
    return Outcome(
        name,
        done.returncode,
        done.stderr[-3000:],
        told.get("number_of_executed_units", 0),
        told.get("slowest_unit_time_sec", 0),
        told.get("peak_rss_mb", 0),
        [path.read_bytes() for path in sorted(merged.iterdir())],
    )


def _run(name: str, flags: list[str]) -> subprocess.CompletedProcess[str]:
    # A process counts the memory of the one that started it as its own peak, and libFuzzer ends it for that; the shell,
    # which is small, starts it.
    start = ["sh", "-c", '"$@" & wait $!', "sh"]
    command = [*start, sys.executable, "-W", "ignore", "-m", "tests.fuzz.child", name, *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
