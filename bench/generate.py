"""Decode and prefill of SmolLM2-135M in tokens a second, ours beside others', on the same weights and prompts.

    python bench/generate.py --llama DIR    # DIR has llama-bench and llama-quantize; without it that peer is left out

Every engine takes its turn in every round, alone on the machine: it reads a prompt of 128 fresh tokens and writes 64 by
the likeliest token. Peers that are not installed (the extra `bench`), or that cannot read these weights, are named.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from app.config import Settings
from app.services import exporting
from app.services.runtime import Runtime

MODEL = "smollm2-135m-instruct"
PROMPT, NEW = 128, 64
THREADS = os.cpu_count() or 1
ASSETS = Path(sys.prefix) / "share" / "inkling"
CANNOT = (ImportError, OSError, ValueError, RuntimeError, subprocess.CalledProcessError)
"""What is raised by a peer that is not there, or cannot read these weights: it is told of and left out."""
FORMATS = ("float32", "bfloat16", "int8", "int4")


Found = dict[str, tuple[str, list[tuple[float, float]]]]
"""Of each engine: its precision, and tokens a second of prefill and decode, round by round."""


class Peer(Protocol):
    name: str
    precision: str

    def measure(self, prompt: list[int]) -> tuple[float, float]:
        """Tokens a second of prefill and of decode."""
        ...


class Stepwise:
    """A peer that reads a prompt and then writes token by token: `begin`, then `step`."""

    def __init__(self, name: str, precision: str, begin: Callable[[list[int]], Callable[[], None]]) -> None:
        self.name, self.precision, self._begin = name, precision, begin

    def measure(self, prompt: list[int]) -> tuple[float, float]:
        started = time.perf_counter()
        step = self._begin(prompt)  # the first new token is there
        read = time.perf_counter()
        for _ in range(NEW - 1):
            step()
        return len(prompt) / (read - started), (NEW - 1) / (time.perf_counter() - read)


class Whole:
    """A peer that writes texts of a length: one token, and then all of them; the difference is decoding."""

    def __init__(self, name: str, precision: str, write: Callable[[list[int], int], None]) -> None:
        self.name, self.precision, self._write = name, precision, write

    def measure(self, prompt: list[int]) -> tuple[float, float]:
        started = time.perf_counter()
        self._write(prompt, 1)
        read = time.perf_counter()
        self._write(prompt, NEW)
        both = time.perf_counter() - read
        return len(prompt) / (read - started), (NEW - 1) / max(1e-9, both - (read - started))


class LlamaBench:
    def __init__(self, folder: Path, weights: Path, kind: str) -> None:
        self.name, self.precision = f"llama.cpp {kind}", _PRECISION[kind]
        self._command = [str(folder / "llama-bench"), "-m", str(weights), "-t", str(THREADS), "-r", "1", "-o", "json"]

    def measure(self, prompt: list[int]) -> tuple[float, float]:
        return self._rate("-p", str(len(prompt)), "-n", "0"), self._rate("-p", "0", "-n", str(NEW), "-d", str(PROMPT))

    def _rate(self, *options: str) -> float:
        told = subprocess.run([*self._command, *options], check=True, capture_output=True, text=True).stdout
        rate: float = json.loads(told)[0]["avg_ts"]
        return rate


_PRECISION = {"F32": "float32", "BF16": "bfloat16", "Q8_0": "int8", "Q4_0": "int4", "Q4_1": "int4"}


def ours(runtime: Runtime, dtype: str) -> Stepwise:
    import torch

    from app.llm.config import SamplingParams
    from app.llm.engine.engine import Engine
    from app.llm.engine.request import Request
    from app.services import model_files, runners

    with runtime.database.read() as session:
        place = model_files.find(session, runtime.storage, MODEL)
    settings = runtime.settings.model_copy(update={"dtype": dtype, "threads": THREADS})
    engine = Engine(runners.make(model_files.read(place).network, settings))

    def begin(prompt: list[int]) -> Callable[[], None]:
        torch.set_num_threads(1)  # as in the engine's thread of a server
        for left in [request for request in open_ones if request is not None]:
            engine.abort(left)
        open_ones[:] = [str(time.perf_counter())]
        engine.add(Request(open_ones[0], tuple(prompt), SamplingParams(NEW + 1, temperature=0.0)))
        while not engine.step():
            pass
        return engine.step

    open_ones: list[str] = []
    return Stepwise(f"inkling {dtype}", dtype, begin)


def transformers(folder: Path, dtype: str) -> Stepwise:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    def begin(prompt: list[int]) -> Callable[[], None]:
        state: dict[str, object] = {}
        torch.set_num_threads(THREADS)

        def step(ids: object) -> None:
            with torch.inference_mode():
                told = model(input_ids=ids, past_key_values=state.get("cache"), use_cache=True, logits_to_keep=1)
            state.update(cache=told.past_key_values, next=told.logits[:, -1:].argmax(-1))

        step(torch.tensor([prompt]))
        return lambda: step(state["next"])

    return Stepwise(f"transformers {dtype}", dtype, begin)


def ctranslate2(folder: Path, made: Path, dtype: str) -> Whole:
    import ctranslate2 as library

    if not made.is_dir():
        library.converters.TransformersConverter(str(folder)).convert(str(made))
        about = json.loads((made / "config.json").read_text())  # it cannot read the tokens that it leaves empty
        end = "<|endoftext|>"
        (made / "config.json").write_text(
            json.dumps({name: end if value is None else value for name, value in about.items()})
        )
    kind = {"int8": "int8_float32"}.get(dtype, dtype)
    model = library.Generator(str(made), compute_type=kind, intra_threads=THREADS)
    names = json.loads((made / "vocabulary.json").read_text())

    def write(prompt: list[int], count: int) -> None:
        tokens = [[names[token_id] for token_id in prompt]]
        model.generate_batch(
            tokens, max_length=count, min_length=count, sampling_topk=1, include_prompt_in_result=False
        )

    return Whole(f"ctranslate2 {dtype}", dtype, write)


def onnxruntime(folder: Path, made: Path, dtype: str) -> Stepwise:
    import onnxruntime_genai as library

    if not made.is_dir():
        kind = {"float32": "fp32"}.get(dtype, dtype)
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", str(folder), "-o", str(made)]
        offline = os.environ | {"HF_HUB_OFFLINE": "1"}
        subprocess.run([*command, "-p", kind, "-e", "cpu"], check=True, capture_output=True, env=offline)
    model = library.Model(str(made))

    def begin(prompt: list[int]) -> Callable[[], None]:
        options = library.GeneratorParams(model)
        options.set_search_options(do_sample=False, max_length=PROMPT + NEW + 1, min_length=PROMPT + NEW)
        generator = library.Generator(model, options)
        generator.append_tokens(prompt)
        generator.generate_next_token()
        return generator.generate_next_token

    return Stepwise(f"onnxruntime-genai {dtype}", dtype, begin)


def openvino(weights: Path, dtype: str) -> Whole:
    import numpy
    import openvino
    import openvino_genai as library

    pipeline = library.LLMPipeline(str(weights), "CPU", INFERENCE_NUM_THREADS=THREADS)

    def write(prompt: list[int], count: int) -> None:
        options = library.GenerationConfig(max_new_tokens=count, min_new_tokens=count, ignore_eos=True)
        ids = openvino.Tensor(numpy.array([prompt], numpy.int64))
        mask = openvino.Tensor(numpy.ones((1, len(prompt)), numpy.int64))
        pipeline.generate(library.TokenizedInputs(ids, mask), options)

    return Whole(f"openvino-genai {dtype}", dtype, write)


def peers(options: argparse.Namespace, runtime: Runtime, scratch: Path) -> Iterator[Peer]:
    """All that can be made here; of the others, why not."""
    folder = exporting.export(runtime, MODEL, "huggingface", "f32").path
    full = exporting.export(runtime, MODEL, "gguf", "f32").path
    wanted: list[tuple[str, Callable[[], Peer]]] = [
        (f"inkling {dtype}", lambda dtype=dtype: ours(runtime, dtype)) for dtype in FORMATS
    ]
    for dtype in ("float32", "bfloat16"):
        wanted.append((f"transformers {dtype}", lambda dtype=dtype: transformers(folder, dtype)))
    for dtype in ("float32", "bfloat16", "int8"):
        wanted.append((f"ctranslate2 {dtype}", lambda dtype=dtype: ctranslate2(folder, scratch / "ctranslate2", dtype)))
    for dtype in ("float32", "int4"):
        wanted.append(
            (f"onnxruntime-genai {dtype}", lambda dtype=dtype: onnxruntime(folder, scratch / f"onnx-{dtype}", dtype))
        )
    if options.llama:
        for kind in _PRECISION:
            wanted.append(
                (
                    f"llama.cpp {kind}",
                    lambda kind=kind: LlamaBench(options.llama, llama_file(options.llama, full, scratch, kind), kind),
                )
            )
        for kind in ("Q8_0", "Q4_0"):
            made = scratch / f"{kind}.gguf"
            wanted.append((f"openvino-genai {kind}", lambda made=made, kind=kind: openvino(made, _PRECISION[kind])))
    for name, make in wanted:
        if options.only and not any(part in name for part in options.only.split(",")):
            continue
        try:
            yield make()
        except CANNOT as error:
            print(f"{name:28} not measured: {type(error).__name__}: {str(error).splitlines()[0][:120]}", flush=True)


def llama_file(folder: Path, full: Path, scratch: Path, kind: str) -> Path:
    """The weights in one of llama.cpp's formats, made of the file `full` in float32."""
    if kind == "F32":
        return full
    if kind == "Q4_1":
        return ASSETS / "SmolLM2-135M-Instruct.Q4_1.gguf"  # as it came
    made = scratch / f"{kind}.gguf"
    subprocess.run([str(folder / "llama-quantize"), str(full), str(made), kind], check=True, capture_output=True)
    return made


def tell(found: Found) -> None:
    for name, (_, rates) in found.items():
        shown = "  ".join(f"{_spread([rate[place] for rate in rates])}" for place in (0, 1))
        print(f"{name:28} prefill and decode, tokens/s: {shown}")
    print()
    mine = {precision: rates for name, (precision, rates) in found.items() if name.startswith("inkling")}
    for name, (precision, rates) in found.items():
        if name.startswith("inkling") or precision not in mine:
            continue
        ratios = [
            _spread([own[place] / its[place] for own, its in zip(mine[precision], rates, strict=True)], ".2f")
            for place in (0, 1)
        ]
        print(f"inkling {precision} / {name:24} prefill {ratios[0]}  decode {ratios[1]}")


def _spread(values: list[float], form: str = ".1f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", type=Path, help="folder of llama.cpp's programs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="parts of names, by commas")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(_env_file=None, data_dir=Path(scratch) / "data", assets_dir=ASSETS)
        runtime = Runtime.open(settings)
        from app.db.migrate import migrate

        migrate(runtime.database)
        all_peers = list(peers(options, runtime, Path(scratch)))
        gc.collect()
        found: dict[str, tuple[str, list[tuple[float, float]]]] = {
            each.name: (each.precision, []) for each in all_peers
        }
        for each in all_peers:  # once for the caches
            each.measure(_prompt())
        for _ in range(options.rounds):
            for each in all_peers:
                found[each.name][1].append(each.measure(_prompt()))
        tell(found)
        runtime.close()


def _prompt() -> list[int]:
    return [random.randrange(1000, 40_000) for _ in range(PROMPT)]


if __name__ == "__main__":
    main()
