"""Our training loop beside litgpt's, the book's and Hugging Face's Trainer: tokens a second on the same network.

    python -m bench.train                       # both networks, float32 and bfloat16: about an hour on two cores
    python -m bench.train --only small/bfloat16,inkling,litgpt --rounds 3

Every program runs in a process of its own (`bench/training_loops.py`), eager and compiled; the faster of the two in a
trial stays. The rounds go around the programs that stayed, so that what the machine does beside meets all of them.
nanoGPT is no package and stays out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from typing import Any, Self

import torch

from app.llm.config import ModelConfig
from app.llm.train.peak import flops_per_token, matrix_product_peak
from bench.training_loops import LOOPS, SETTINGS, WINDOW, Setting

STEPS = {"gpt2": 4, "small": 20}
"""A round's: some ten seconds on two cores."""
TRIAL_STEPS = 3  # behind the first ones, in which memory is got and code compiled


class Program:
    """A training loop that runs elsewhere and does a number of steps when asked."""

    def __init__(self, loop: str, setting: str, precision: str, compiled: bool, threads: int) -> None:
        self.loop, self.compiled = loop, compiled
        self._tokens = SETTINGS[setting].batch * WINDOW
        kind = "compiled" if compiled else "eager"
        command = [sys.executable, "-m", "bench.training_loops", loop, setting, precision, kind, str(threads)]
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
        )
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._words.close()

    def rate(self, steps: int) -> float:
        """Tokens a second over so many steps.

        Raises:
            RuntimeError: the program ended instead, with its last words.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._words.seek(0)
            words = self._words.read().strip().splitlines()
            raise RuntimeError(words[-1] if words else "it ended without a word")
        told: dict[str, Any] = json.loads(answer)
        self.bytes = told["bytes"]
        return steps * self._tokens / float(told["seconds"])


def fastest(loop: str, setting: str, precision: str, threads: int) -> Program | None:
    """The program eager or compiled, whichever is faster in a trial; None where neither runs."""
    found: list[tuple[float, Program]] = []
    for compiled in (False, True):
        program = Program(loop, setting, precision, compiled, threads)
        try:
            program.rate(2)
            found.append((program.rate(TRIAL_STEPS), program))
        except RuntimeError as error:
            print(f"{loop} {'compiled' if compiled else 'eager'}: not measured: {str(error)[:150]}", flush=True)
            program.__exit__()
    found.sort(key=lambda each: -each[0])
    for _, slower in found[1:]:
        slower.__exit__()
    return found[0][1] if found else None


def measure(setting: str, precision: str, loops: list[str], rounds: int, threads: int) -> None:
    with ExitStack() as stack:
        programs = [program for loop in loops if (program := fastest(loop, setting, precision, threads))]
        for program in programs:
            stack.enter_context(program)
        rates: dict[str, list[float]] = {program.loop: [] for program in programs}
        peaks = []
        for _ in range(rounds):
            peaks.append(matrix_product_peak(torch.device("cpu"), precision))  # type: ignore[arg-type]
            for program in programs:
                rates[program.loop].append(program.rate(STEPS[setting]))
        tell(setting, precision, programs, rates, max(peaks))


def tell(setting: str, precision: str, programs: list[Program], rates: dict[str, list[float]], peak: float) -> None:
    flops = flops_per_token(_config(SETTINGS[setting]), WINDOW)
    print(
        f"\n{setting} {precision}: a product peaks at {peak / 1e9:.0f} GFLOP/s, a token needs {flops / 1e9:.3f} GFLOP"
    )
    for program in programs:
        share = statistics.median(rates[program.loop]) * flops / peak
        how = "compiled" if program.compiled else "eager"
        speed = f"{_spread(rates[program.loop], '.0f')} tokens/s"
        print(f"{program.loop:9} {how:9} {speed:34} {share:4.0%} of the peak  {program.bytes / 1e9:.2f} GB", flush=True)
    for program in programs:
        if "inkling" in rates and program.loop != "inkling":
            ratios = [own / its for own, its in zip(rates["inkling"], rates[program.loop], strict=True)]
            print(f"inkling / {program.loop:9} {_spread(ratios, '.2f')}", flush=True)


def _config(setting: Setting) -> ModelConfig:
    return ModelConfig(
        vocab_size=setting.vocabulary,
        context_length=setting.context,
        emb_dim=setting.width,
        n_heads=setting.heads,
        n_layers=setting.layers,
    )


def _spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="parts of settings and loops, by commas")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wanted = options.only.split(",") if options.only else []

    def chosen(names: list[str]) -> list[str]:
        return [name for name in names if any(part in name for part in wanted)] or names

    pairs = chosen([f"{setting}/{precision}" for setting in SETTINGS for precision in ("bfloat16", "float32")])
    for pair in pairs:
        setting, precision = pair.split("/")
        measure(setting, precision, chosen(list(LOOPS)), options.rounds, options.threads)


if __name__ == "__main__":
    main()
