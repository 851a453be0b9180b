"""What a run is said to take: exact where it can be counted, within a band of a process's peak where not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.llm.checkpoint import ModelMeta, save_checkpoint
from app.llm.config import PRESETS, LoRAConfig, ModelConfig, Word2VecConfig
from app.llm.model.shell import without_weights
from app.llm.model.transformer import Transformer
from app.llm.model.word_vectors import WordVectors
from app.llm.train import losses
from app.llm.train.config import PreferenceConfig, SkipGramConfig, TrainConfig
from app.llm.train.early_stop import Best
from app.llm.train.footprint import (
    LOGITS_AT_ONCE,
    PROCESS_BYTES,
    checkpoint_bytes,
    footprint,
    learning_parameters,
    parameters,
)
from app.llm.train.loop import Report, TrainState, train
from app.llm.train.pretrain import Pretraining, choose_trainable
from app.services.trial_child import task_of

BAND = (0.75, 1.25)
"""Measured / computed: docs/api.md says so."""
LLAMA = dict(norm="rmsnorm", position="rope", mlp="swiglu")
SHAPES = [{**PRESETS["gpt-tiny"], "qkv_bias": True, "tied": False}, PRESETS["llama-tiny"], PRESETS["gpt-mini"]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("trainable", ["all", "last_block"])
def test_weights_are_counted_exactly(shape: dict[str, Any], trainable: str) -> None:
    config, settings = ModelConfig(**shape, vocab_size=500), TrainConfig(trainable=trainable)
    with without_weights():
        model = Transformer(config)
    choose_trainable(model, settings)
    learning = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert (parameters(config), learning_parameters(config, settings)) == (model.parameter_count(), learning)
    computed = footprint(config, settings, 64)
    assert (computed.weights, computed.gradients, computed.optimizer) == (
        4 * model.parameter_count(), 4 * learning, 8 * learning,
    )  # fmt: skip


def test_word_vectors_are_counted_exactly() -> None:
    config = Word2VecConfig(300, 20)
    assert parameters(config) == learning_parameters(config, SkipGramConfig()) == WordVectors(config).parameter_count()


def test_a_reference_is_a_second_network_but_with_adapters() -> None:
    config = ModelConfig(**PRESETS["gpt-tiny"], vocab_size=500)
    alone, adapted = PreferenceConfig(), PreferenceConfig(lora=LoRAConfig(rank=4, alpha=8))
    network = 4 * parameters(config)
    assert footprint(config, alone, 64).weights == 2 * network
    assert footprint(config, adapted, 64).weights == network


def test_the_pieces_of_logits_are_the_losses_own() -> None:
    assert LOGITS_AT_ONCE == losses.LOGITS_AT_ONCE


class Saving:
    """Keeps what a checkpoint takes on disk."""

    def __init__(self, model: Transformer, folder: Path) -> None:
        self.model, self.folder, self.size_bytes = model, folder, 0

    def check(self) -> None: ...

    def on_report(self, report: Report) -> None: ...

    def on_sample(self, step: int, text: str) -> None: ...

    def on_early_stop(self, best: Best) -> None: ...

    def on_checkpoint(self, state: TrainState) -> None:
        saved = save_checkpoint(self.folder, self.model, ModelMeta(self.model.config, "gpt2"), state)
        self.size_bytes = saved.size_bytes


@pytest.mark.parametrize("trainable", ["all", "last_block"])
def test_a_checkpoint_takes_what_was_said(trainable: str, tmp_path: Path) -> None:
    config = ModelConfig(**PRESETS["gpt-mini"], vocab_size=5000)
    settings = TrainConfig(max_steps=1, batch_size=1, trainable=trainable)
    model = Transformer(config)
    saving = Saving(model, tmp_path / "checkpoint")
    task = task_of(model, config, settings, 32, 1)
    assert isinstance(task, Pretraining)
    train(task, settings, saving)
    assert checkpoint_bytes(config, settings) <= saving.size_bytes <= checkpoint_bytes(config, settings) + 50_000


@pytest.mark.parametrize(
    ("shape", "batch_size", "vocab_size"),
    [
        (dict(context_length=256, emb_dim=256, n_heads=8, n_layers=6), 24, 4000),
        (dict(context_length=256, emb_dim=256, n_heads=8, n_layers=6, drop_rate=0.1), 12, 4000),
        (LLAMA | dict(context_length=256, emb_dim=256, n_heads=8, n_layers=6), 16, 4000),
        (dict(context_length=64, emb_dim=768, n_heads=12, n_layers=4), 2, 50257),
    ],
    ids=["gpt", "dropout", "llama", "large-head"],
)  # fmt: skip
def test_the_peak_of_a_process_is_within_the_band(shape: dict[str, Any], batch_size: int, vocab_size: int) -> None:
    """Some hundred megabytes beside the process itself, measured in a process of its own."""
    config = ModelConfig(**shape, vocab_size=vocab_size)
    settings = TrainConfig(batch_size=batch_size)
    window = config.context_length
    asked = dict(
        recipe="pretrain", family=config.family, network=config.to_dict(), train=settings.__dict__, window=window,
        device="cpu", devices="cpu", threads=1, seconds=60.0,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "app.services.trial_child"],
        input=json.dumps(asked).encode() + b"\n", capture_output=True, check=True, timeout=240,
    )  # fmt: skip
    *_, last = map(json.loads, done.stdout.splitlines())
    assert last["batch_size"] == batch_size
    computed = footprint(config, settings, window).total
    assert computed > 2 * PROCESS_BYTES, "little of it would be the network's"
    assert BAND[0] <= last["peak_bytes"] / computed <= BAND[1]
