"""One fuzzer: `python -m tests.fuzz.child NAME [libFuzzer's flags and folders]`, until libFuzzer ends the process."""

from __future__ import annotations

import sys
from importlib import import_module

import atheris

name, *flags = sys.argv[1:]
with atheris.instrument_imports(include=["app", "jinja2"]):
    target = import_module(f"tests.fuzz.{name}")
itself = f"{sys.executable} -m tests.fuzz.child {name}"  # how libFuzzer starts it again, to merge what it found
atheris.Setup([itself, f"-max_len={target.LONGEST}", *flags], target.check)
atheris.Fuzz()
