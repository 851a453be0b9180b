"""Compile the kernels for this processor, once: the library's name says what it was made of and for.

A process that finds it made loads it in a moment; a machine without a compiler uses one that was made elsewhere for the
same processor, or none.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).with_name("src")
MAIN = SOURCES / "forward.cpp"
FLAGS = ("-std=c++20", "-O3", "-march=native", "-fPIC", "-shared", "-pthread", "-w")
COMPILERS = ("g++", "c++", "clang++")
BUILD_TIMEOUT_S = 300


class NoKernels(Exception):
    """The kernels cannot be had here; the message says why."""


def compiler() -> str | None:
    """The path of a C++ compiler, or None."""
    return next((found for name in COMPILERS if (found := shutil.which(name))), None)


def compiled_path(folder: Path) -> Path:
    """Where the library for these sources and this processor lies, or would lie."""
    made_of = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sorted(SOURCES.iterdir()):
        made_of.update(source.read_bytes())
    made_of.update(_processor().encode())
    return folder / f"kernels-{made_of.hexdigest()[:16]}.so"


def build(folder: Path) -> Path:
    """Make the library in `folder`, if it is not there yet; takes some seconds.

    Raises:
        NoKernels: there is no compiler, or it fails.
    """
    library = compiled_path(folder)
    if library.is_file():
        return library
    found = compiler()
    if found is None:
        raise NoKernels("there is no C++ compiler (g++) on this machine")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            made = Path(aside, library.name)
            command = [found, *FLAGS, str(MAIN), "-o", str(made)]
            run = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
            if run.returncode:
                raise NoKernels(f"{found} fails: {run.stderr.strip()[-500:]}")
            made.replace(library)  # whole or not at all, whoever else builds
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoKernels(f"they cannot be built: {error}") from error
    return library


@cache
def load(folder: Path) -> ctypes.CDLL:
    """The library, made if need be.

    Raises:
        NoKernels: as `build`, or it cannot be loaded.
    """
    try:
        return ctypes.CDLL(str(build(folder)))
    except OSError as error:
        raise NoKernels(f"they cannot be loaded: {error}") from error


def _processor() -> str:
    """What machine code this processor runs."""
    flags = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return f"{flags} {platform.processor()}"
    kinds = {line for line in lines if line.startswith(("flags", "Features", "CPU implementer", "CPU part"))}
    return flags + "".join(sorted(kinds))
