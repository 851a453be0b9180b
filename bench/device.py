"""Generation on one device: our passes with and without CUDA graphs, beside transformers' `generate` there.

    python -m bench.device                                     # on a GPU: SmolLM2-135M, GPT-2 124M and 355M
    python -m bench.device --device cpu --models tiny --new 8  # does it run at all?

Prints tokens a second with 1, 8 and 32 requests, each with a prompt of its own: of reading the prompts, of writing one
token after another, and new tokens a second of both together (ours through the engine, with its sampler). Medians of
the rounds, with the least and the most; engines take turns. SmolLM2's weights are its own where they are ours, random
where they are transformers'; GPT-2's are random in both: none of the numbers depends on them. What memory each of our
runners took, and whether a request's logits are the same alone and among 31 others, is printed too.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch

from app.config import get_settings
from app.llm.config import PRESETS, Dtype, ModelConfig, SamplingParams
from app.llm.engine.device_runner import SERVED, DeviceRunner
from app.llm.engine.engine import Engine
from app.llm.engine.graphs import CudaCapture, uncaptured
from app.llm.engine.request import Request
from app.llm.engine.runner import Chunk, Wanted
from app.llm.model.transformer import Transformer
from app.llm.weights.gguf import load_gguf
from app.services.model_files import BUILT_IN
from app.services.storage import Storage

MODELS = ("smollm2", "gpt2-124m", "gpt2-355m")
GPT2_VOCABULARY = 50_257
PIECE = 256  # of a prompt, as the engine reads it
WHAT = ("prefill", "decode", "both")

Prompts = list[list[int]]
Rates = tuple[float, float, float]
Measure = Callable[[Prompts], Rates]
"""Reads the prompts, writes to each; tokens a second of `WHAT`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="bfloat16", choices=list(SERVED))
    parser.add_argument("--models", default=",".join(MODELS), help="of smollm2, tiny, and the presets")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts of names, by commas")
    given = parser.parse_args()
    device = torch.device(given.device)
    name = torch.cuda.get_device_name() if given.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {name}, {given.dtype}; prompts of {given.prompt}, {given.new} new each")
    batches = [int(batch) for batch in given.batches.split(",")]
    for model in given.models.split(","):
        network = a_network(model)
        measures = {
            title: measure
            for title, measure in peers(network, given.dtype, device, max(batches), given.new, given.prompt)
            if any(part in title for part in given.only.split(","))
        }
        tell(model, network.config, measures, batches, given.prompt, given.rounds)
        del measures
        gc.collect()


def tell(
    model: str, config: ModelConfig, measures: dict[str, Measure], batches: list[int], length: int, rounds: int
) -> None:
    figures: dict[tuple[int, str], list[Rates]] = defaultdict(list)
    for batch in batches:
        for turn in range(rounds + 1):
            for title, measure in measures.items():
                rates = measure(prompts(config, batch, length))
                if turn:  # the first records graphs and fills caches
                    figures[batch, title].append(rates)
    for (batch, title), rates in figures.items():
        shown = (f"{what} {spread([each[place] for each in rates])}" for place, what in enumerate(WHAT))
        print(f"{model:10} {batch:3} {title:24} {'  '.join(shown)}", flush=True)


def a_network(model: str) -> Transformer:
    if model == "smollm2":
        settings = get_settings()
        shipped = BUILT_IN["smollm2-135m-instruct"]
        return load_gguf(Storage(settings.data_dir, settings.assets_dir).asset(shipped.file_name)).eval()
    torch.manual_seed(0)
    if model == "tiny":
        return Transformer(ModelConfig(300, **PRESETS["llama-tiny"] | {"context_length": 512})).eval()
    return Transformer(ModelConfig(GPT2_VOCABULARY, **PRESETS[model])).eval()


def peers(
    network: Transformer, dtype: Dtype, device: torch.device, batch: int, new: int, length: int
) -> Iterator[tuple[str, Measure]]:
    """All that run here; of transformers, why not where it does not."""
    captures = {"inkling": uncaptured}
    if device.type == "cuda":
        captures["inkling, graphs"] = CudaCapture(device)
    for title, capture in captures.items():
        before = torch.cuda.memory_allocated() if device.type == "cuda" else 0
        runner = DeviceRunner(
            network,
            dtype,
            device=device,
            kv_cache_tokens=batch * (length + new + 16),
            capture=capture,
            on_failure=lambda why: print(f"no CUDA graphs: {why}"),
        )
        if device.type == "cuda":
            print(f"{title}: weights and keys and values {(torch.cuda.memory_allocated() - before) / 1e6:.0f} MB")
        print(f"{title}: {alone_and_among(runner)}", flush=True)
        yield title, ours(runner, new)
    try:
        yield "transformers", theirs(network.config, SERVED[dtype], device, new)
    except ImportError as error:
        print(f"transformers: not measured: {error}")


def ours(runner: DeviceRunner, new: int) -> Measure:
    def measure(given: Prompts) -> Rates:
        room = -(-(len(given[0]) + new) // runner.block_tokens)
        places = [range(room * number, room * (number + 1)) for number in range(len(given))]
        started = time.perf_counter()
        last = []
        for ids, blocks in zip(given, places, strict=True):
            pieces = [
                Chunk(ids[at : at + PIECE], at, blocks, Wanted.NONE if at + PIECE < len(ids) else Wanted.LAST)
                for at in range(0, len(ids), PIECE)
            ]
            last.append([runner.run([piece]) for piece in pieces][-1][0].argmax().item())
        read = time.perf_counter()
        for at in range(len(given[0]), len(given[0]) + new - 1):
            step = [Chunk([token], at, blocks, Wanted.LAST) for token, blocks in zip(last, places, strict=True)]
            last = runner.run(step).argmax(-1).tolist()
        written = time.perf_counter()
        engine = Engine(runner, prefill_chunk=PIECE)
        for number, ids in enumerate(given):
            engine.add(Request(str(number), tuple(ids), SamplingParams(new, temperature=0.0)))
        while engine.has_work:
            engine.step()
        return _rates(given, new, read - started, written - read, time.perf_counter() - written)

    return measure


def theirs(config: ModelConfig, dtype: torch.dtype, device: torch.device, new: int) -> Measure:
    model = _their_model(config).to(device, dtype).eval()

    def write(given: Prompts, count: int) -> float:
        ids = torch.tensor(given, device=device)
        started = time.perf_counter()
        with torch.inference_mode():
            told = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                min_new_tokens=count,
                max_new_tokens=count,
                pad_token_id=0,
            )
        assert told.size(1) == ids.size(1) + count
        told.cpu()  # waits for the device
        return time.perf_counter() - started

    def measure(given: Prompts) -> Rates:
        read, both = write(given, 1), write(given, new)
        return _rates(given, new, read, max(1e-9, both - read), both)

    return measure


def _their_model(config: ModelConfig) -> Any:
    import transformers as library

    if config.family == "gpt2":
        shape = library.GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.emb_dim,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            bos_token_id=None,
            eos_token_id=None,
        )
        return library.GPT2LMHeadModel(shape)
    return library.LlamaForCausalLM(
        library.LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.emb_dim,
            intermediate_size=config.mlp_dim,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.kv_heads,
            max_position_embeddings=config.context_length,
            tie_word_embeddings=config.tied,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def _rates(given: Prompts, new: int, read_s: float, written_s: float, both_s: float) -> Rates:
    count, length = len(given), len(given[0])
    return count * length / read_s, count * (new - 1) / written_s, count * new / both_s


def alone_and_among(runner: DeviceRunner) -> str:
    """Whether logits of a token are the same to the bit alone and beside 31 others; how far they are apart if not."""
    room = 8  # blocks of a text
    count = min(32, runner.block_count // room, (runner.config.context_length - 18) // 3)
    step = []
    for number in range(count):
        blocks, behind = range(room * number, room * (number + 1)), 20 + 3 * number
        runner.run([Chunk(range(1, 1 + behind), 0, blocks, Wanted.NONE)])
        step.append(Chunk([7 + number], behind, blocks, Wanted.LAST))
    together = runner.run(step)
    apart = torch.cat([runner.run([chunk]) for chunk in step])
    furthest = (together - apart).abs().max().item()
    return f"logits alone and among {count - 1} others: " + (
        "the same bits" if torch.equal(together, apart) else f"up to {furthest:.2g} apart"
    )


def prompts(config: ModelConfig, batch: int, length: int) -> Prompts:
    return [[random.randrange(config.vocab_size) for _ in range(length)] for _ in range(batch)]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
