"""One training program in a process of its own, for `bench/train.py`: ours or a peer's, by its own loop.

It trains without end on batches that a gate hands out. The gate waits for a number of steps on standard input, and
answers with the seconds that they took and the process's peak memory.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

PEERS = Path(__file__).parents[1] / ".bench" / "peers"
WINDOW = 256
RATE = 1e-4
WITHOUT_END = 10**6
"""Steps: more than are ever asked for."""


@dataclass(frozen=True)
class Setting:
    """What all programs train, and on how many windows a step."""

    layers: int
    heads: int
    width: int
    vocabulary: int
    context: int
    batch: int


SETTINGS = {"gpt2": Setting(12, 12, 768, 50257, 1024, 4), "small": Setting(6, 6, 384, 65, 256, 12)}


class Gate:
    """Hands out batches of random windows (B, WINDOW + 1), and stops the clock whenever enough were asked for.

    A loop asks for a batch when it is done with the one before (some a batch ahead: then a step is counted one later).
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._left, self._began = 0, 0.0
        self._answers = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)  # what the loops print goes elsewhere
        self._random = torch.Generator().manual_seed(1)

    def __len__(self) -> int:
        return WITHOUT_END

    def batch(self) -> Tensor:
        size = (self._setting.batch, WINDOW + 1)
        return torch.randint(self._setting.vocabulary, size, generator=self._random)

    def __getitem__(self, _number: int) -> tuple[Tensor, Tensor]:
        windows = self.next()
        return windows[:, :-1], windows[:, 1:]

    def next(self) -> Tensor:
        if self._left == 0:
            self._answer()
        self._left -= 1
        return self.batch()

    def _answer(self) -> None:
        ended = time.perf_counter()
        if self._began:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            self._answers.write(json.dumps({"seconds": ended - self._began, "bytes": peak}) + "\n")
        line = sys.stdin.readline()
        if not line:
            os._exit(0)  # from inside any loop, whatever it would catch
        self._left, self._began = int(line), time.perf_counter()


def inkling(gate: Gate, setting: Setting, precision: str, compiled: bool) -> None:
    from app.llm.config import ModelConfig
    from app.llm.model.transformer import Transformer
    from app.llm.train.config import TrainConfig
    from app.llm.train.loop import train
    from app.llm.train.pretrain import Pretraining
    from app.services.memory import keep_freed

    class Nobody:
        def check(self) -> None: ...
        def on_report(self, report: Any) -> None: ...
        def on_sample(self, step: int, text: str) -> None: ...
        def on_checkpoint(self, state: Any) -> None: ...
        def on_early_stop(self, best: Any) -> None: ...

    keep_freed()  # as a job's trainer does
    shape = {"emb_dim": setting.width, "n_heads": setting.heads, "n_layers": setting.layers, "drop_rate": 0.0}
    model = Transformer(
        ModelConfig(vocab_size=setting.vocabulary, context_length=setting.context, qkv_bias=True, tied=True, **shape)
    )
    never = {f"{what}_every": WITHOUT_END for what in ("eval", "sample", "checkpoint")}
    config = TrainConfig(
        max_steps=WITHOUT_END,
        batch_size=setting.batch,
        learning_rate=RATE,
        precision=precision,
        compile=compiled,
        **never,
    )
    gate.indices = lambda _number: []  # type: ignore[attr-defined]
    train(Pretraining(model, config, gate, None, lambda _check: ""), config, Nobody())  # type: ignore[arg-type]


def litgpt(gate: Gate, setting: Setting, precision: str, compiled: bool) -> None:
    """GPT-2's shape as near as its configurations come: rotary positions on a quarter of each head. Tied here."""
    from lightning import Fabric
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.pretrain import fit

    config = Config(
        block_size=WINDOW,
        vocab_size=setting.vocabulary,
        padding_multiple=64,
        n_layer=setting.layers,
        n_head=setting.heads,
        n_embd=setting.width,
        parallel_residual=False,
        bias=True,
        gelu_approximate="tanh",
    )
    model = GPT(config)
    model.lm_head.weight = model.transformer.wte.weight
    nn.init.normal_(model.lm_head.weight, std=0.02)
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed" if precision == "bfloat16" else "32-true")
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1, fused=True)
    ready = fabric.setup(torch.compile(model) if compiled else model)
    ready.max_seq_length = WINDOW
    train = TrainArgs(
        save_interval=None,
        log_interval=1,
        global_batch_size=setting.batch,
        micro_batch_size=setting.batch,
        lr_warmup_steps=1,
        max_tokens=WITHOUT_END * setting.batch * WINDOW,
        max_norm=1.0,
        min_lr=RATE,
    )
    evaluation = EvalArgs(interval=WITHOUT_END, max_iters=1, final_validation=False)
    state = {"model": ready, "optimizer": fabric.setup_optimizers(optimizer), "iter_num": 0, "step_count": 0}
    fit(fabric, 1, state, _Windows(gate), [gate.batch()], Path(), None, train, evaluation)


class _Windows:
    """A loader of whole windows; a second iteration, for an evaluation, goes beside the gate."""

    def __init__(self, gate: Gate, shape: Callable[[Tensor], Any] = lambda windows: windows) -> None:
        self._gate, self._shape, self._is_taken = gate, shape, False

    def __len__(self) -> int:
        return len(self._gate)

    def __iter__(self) -> Iterator[Any]:
        take = self._gate.batch if self._is_taken else self._gate.next
        self._is_taken = True
        while True:
            yield self._shape(take())


def book(gate: Gate, setting: Setting, precision: str, compiled: bool) -> None:
    """Its faster network, with appendix D's loop; its head tied here."""
    for name in ("matplotlib", "matplotlib.pyplot", "matplotlib.ticker"):  # it draws nothing here
        sys.modules[name] = types.ModuleType(name)
    sys.modules["matplotlib.ticker"].MaxNLocator = None  # type: ignore[attr-defined]
    from llms_from_scratch import appendix_d, ch05
    from llms_from_scratch.ch04 import GPTModelFast

    shape = {"emb_dim": setting.width, "n_heads": setting.heads, "n_layers": setting.layers, "drop_rate": 0.0}
    model: nn.Module = GPTModelFast(
        {"vocab_size": setting.vocabulary, "context_length": setting.context, "qkv_bias": True, **shape}
    )
    model.out_head.weight = model.tok_emb.weight
    nn.init.normal_(model.tok_emb.weight, std=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1, fused=True)
    if precision == "bfloat16":
        appendix_d.calc_loss_batch = torch.autocast("cpu", torch.bfloat16)(appendix_d.calc_loss_batch)
        ch05.calc_loss_batch = appendix_d.calc_loss_batch
    loader = _Windows(gate, lambda windows: (windows[:, :-1], windows[:, 1:]))
    ready = torch.compile(model) if compiled else model
    appendix_d.train_model(
        ready, loader, loader, optimizer, "cpu", 1, WITHOUT_END, 1, "", None, warmup_steps=1, min_lr=RATE
    )


def trainer(gate: Gate, setting: Setting, precision: str, compiled: bool) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    class Gated(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            return _Windows(gate, lambda windows: {"input_ids": windows[:, :-1], "labels": windows[:, :-1]})

    shape = {"n_embd": setting.width, "n_head": setting.heads, "n_layer": setting.layers}
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=setting.vocabulary, n_positions=setting.context, use_cache=False, **shape, **dropout)
    )
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=precision == "bfloat16",
        torch_compile=compiled,
        optim="adamw_torch_fused",
        learning_rate=RATE,
        weight_decay=0.1,
        max_steps=WITHOUT_END,
        per_device_train_batch_size=setting.batch,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    Gated(model, arguments, train_dataset=[]).train()


LOOPS = {"inkling": inkling, "litgpt": litgpt, "book": book, "trainer": trainer}


def main() -> None:
    loop, setting, precision, compiled, threads = sys.argv[1:]
    sys.path.append(str(PEERS))  # behind all else: what is installed wins
    torch.set_num_threads(int(threads))
    torch.manual_seed(123)
    LOOPS[loop](Gate(SETTINGS[setting]), SETTINGS[setting], precision, compiled == "compiled")


if __name__ == "__main__":
    main()
