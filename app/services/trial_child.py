"""A few steps of a job's network, on ids by chance: how fast they are, and what memory they take.

Run as a process of its own: nothing of what it takes stays. A line of JSON in, as `trial_process.Asked`. A line out
once the network is there, `{"device", "device_bytes"}` (or `{"why_not"}` alone), and one after each step,
`{"batch_size", "tokens", "seconds", "peak_bytes"}`. First come steps of one window, so that there is a figure where
whole batches take too long.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.llm.config import ClassifierConfig, ModelConfig, NetworkConfig, Word2VecConfig, network_config
from app.llm.data.labelled import LabelledIds
from app.llm.data.taught import TaughtIds, TaughtPair
from app.llm.data.windows import Batches, Windows
from app.llm.errors import TrainingStopped
from app.llm.model.classifier import Classifier
from app.llm.model.lora import apply_lora, without_lora
from app.llm.model.transformer import Transformer
from app.llm.model.word_vectors import WordVectors
from app.llm.train.classify import Classification
from app.llm.train.config import (
    ClassifyConfig,
    InstructConfig,
    LoopConfig,
    PreferenceConfig,
    SkipGramConfig,
    TrainConfig,
)
from app.llm.train.dpo import Preferring, Reference
from app.llm.train.early_stop import Best
from app.llm.train.instruct import Instructing
from app.llm.train.loop import Report, Task, TrainState, train
from app.llm.train.pretrain import Pretraining
from app.llm.train.word2vec import SkipGrams
from app.services import train_devices
from app.services.train_devices import DeviceUnavailable

NICE = 10  # as a trainer's: answers to people go before
SINGLE_STEPS, STEPS = 2, 5  # of one window, of whole batches; the first of each also makes things ready
STATUS = Path("/proc/self/status")
NEVER = 1 << 20
CONFIGS: dict[str, type[LoopConfig]] = {
    "pretrain": TrainConfig,
    "word2vec": SkipGramConfig,
    "classify": ClassifyConfig,
    "instruct": InstructConfig,
    "dpo": PreferenceConfig,
}


@dataclass
class Tell:
    """Writes down each step, and ends before one that would not be over in time."""

    batch_size: int
    ends_at: float

    def check(self) -> None: ...

    def on_report(self, report: Report) -> None:
        if report.tokens_per_s is None:
            return
        tokens = report.tokens // report.step
        seconds = tokens / report.tokens_per_s
        told = {"batch_size": self.batch_size, "tokens": tokens, "seconds": seconds, "peak_bytes": peak_bytes()}
        print(json.dumps(told), flush=True)
        if time.monotonic() + seconds > self.ends_at:
            raise TrainingStopped("enough")

    def on_sample(self, step: int, text: str) -> None: ...

    def on_early_stop(self, best: Best) -> None: ...

    def on_checkpoint(self, state: TrainState) -> None: ...


def main() -> None:
    """Make the network and try it until the steps are done or the time is over."""
    os.nice(NICE)
    asked = json.loads(sys.stdin.readline())
    ends_at = time.monotonic() + asked["seconds"]
    if asked["threads"]:
        torch.set_num_threads(asked["threads"])
    try:
        device = train_devices.choose(asked["device"], asked["devices"])
    except DeviceUnavailable as error:
        print(json.dumps({"why_not": error.message}), flush=True)
        return
    torch.manual_seed(0)
    network = network_config(asked["family"], asked["network"])
    model = network_of(network)
    config = CONFIGS[asked["recipe"]](**asked["train"])
    if config.lora is not None:
        apply_lora(model, config.lora)
    model.to(device)
    print(json.dumps({"device": device.type, "device_bytes": device_bytes(device)}), flush=True)
    for batch_size, steps in ((1, SINGLE_STEPS), (config.batch_size, STEPS)):
        tried = replace(
            config.with_steps(steps),
            batch_size=batch_size,
            eval_every=NEVER,
            sample_every=NEVER,
            checkpoint_every=NEVER,
        )
        try:
            train(task_of(model, network, tried, asked["window"], steps), tried, Tell(batch_size, ends_at))
        except TrainingStopped:
            return


def network_of(config: NetworkConfig) -> Transformer | WordVectors | Classifier:
    if isinstance(config, Word2VecConfig):
        return WordVectors(config)
    if isinstance(config, ClassifierConfig):
        return Classifier(Transformer(config.body), len(config.classes))
    assert isinstance(config, ModelConfig), "a job begins with no adapter alone"
    return Transformer(config)


def task_of(
    model: Transformer | WordVectors | Classifier, network: NetworkConfig, config: LoopConfig, window: int, steps: int
) -> Task:
    """The job's task on windows or texts by chance, none of them twice."""
    if isinstance(model, Classifier):
        assert isinstance(network, ClassifierConfig), "what it was made of"
        assert isinstance(config, ClassifyConfig), "the recipe of such networks"
        return _classification(model, network, config, window, steps)
    if isinstance(model, WordVectors):
        assert isinstance(config, SkipGramConfig), "the recipe of such networks"
        batches = _windows(model.config.vocab_size, config, window, stride=1, steps=steps)
        shares = np.full(model.config.vocab_size, 1 / model.config.vocab_size)
        return SkipGrams(model, config, batches, None, shares, word=str, shown=[0])
    if isinstance(config, InstructConfig):
        rows = [_answer(model, window) for _ in range(config.batch_size * steps)]
        return Instructing(model, config, (rows, []), seed=0, write=lambda _check: "")
    if isinstance(config, PreferenceConfig):
        return _preferring(model, config, window // 2, steps)
    assert isinstance(config, TrainConfig), "the one recipe that is left"
    batches = _windows(model.config.vocab_size, config, window, stride=window, steps=steps)
    return Pretraining(model, config, batches, None, lambda _check: "")


def _windows(vocab_size: int, config: LoopConfig, length: int, stride: int, steps: int) -> Batches:
    ids = torch.randint(vocab_size, ((config.batch_size * steps + 1) * stride + length,))
    return Batches(Windows(ids, length, stride), config.batch_size, seed=0)


def _answer(model: Transformer, length: int) -> TaughtIds:
    """As much is learnt as is read: the loss of a token that is not costs next to nothing less."""
    ids = torch.randint(model.config.vocab_size, (length + 1,)).tolist()
    return TaughtIds(ids, [False, *[True] * length], prompt_length=1)


def _preferring(model: Transformer, config: PreferenceConfig, length: int, steps: int) -> Task:
    """On pairs of answers of this length, beside a reference as the job has it."""
    pairs = [TaughtPair(_answer(model, length), _answer(model, length)) for _ in range(config.batch_size * steps)]
    frozen = None if config.lora is not None else copy.deepcopy(model).requires_grad_(False).eval()
    reference: Reference = partial(without_lora, model) if frozen is None else lambda: nullcontext(frozen)
    return Preferring(model, reference, config, (pairs, []), seed=0, write=lambda _check: "")


def _classification(
    model: Classifier, shape: ClassifierConfig, config: ClassifyConfig, window: int, steps: int
) -> Task:
    """On texts that are all as long as the longest one."""
    count = config.batch_size * steps
    ids = torch.randint(shape.vocab_size, (count, window)).tolist()
    rows = [LabelledIds(row, number % model.classes) for number, row in enumerate(ids)]
    return Classification(model, shape, config, (rows, []), seed=0, shown=lambda _row: "")


def peak_bytes() -> int:
    """The most memory that this process, or on a GPU what it holds there, ever took."""
    if torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_reserved())
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes
    # On Linux that begins with the peak of the process that started this one, a server's or a worker's.
    told = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(told.split()[1]) * 1024


def device_bytes(device: torch.device) -> int | None:
    """A GPU's memory; None on a CPU, whose memory is the machine's."""
    if device.type != "cuda":
        return None
    total: Any = torch.cuda.get_device_properties(device).total_memory
    return int(total)


if __name__ == "__main__":
    main()
