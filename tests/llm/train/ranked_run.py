"""One of the processes of tests/llm/train/test_ranks.py: trains along, and writes what it saw to FOLDER/RANK.json."""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.llm.config import ModelConfig
from app.llm.data.windows import Batches, Windows
from app.llm.errors import TrainingStopped
from app.llm.model.transformer import Transformer
from app.llm.train.config import TrainConfig
from app.llm.train.early_stop import Best
from app.llm.train.loop import Report, TrainState, train
from app.llm.train.pretrain import Pretraining
from app.llm.train.ranks import Together

CONFIG = TrainConfig(
    max_steps=12, batch_size=6, accumulate=2, learning_rate=0.01, eval_every=4, checkpoint_every=5, trainable="all"
)


class Listener:
    """Keeps what it hears; says `paused` in the midst of the updates."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.asked = 0
        self.reports: list[list[Any]] = []
        self.state: TrainState | None = None

    def check(self) -> None:
        self.asked += 1
        if self.stop_at is not None and len(self.reports) > self.stop_at:
            raise TrainingStopped("paused")

    def on_report(self, report: Report) -> None:
        figures = (report.step, report.loss, report.val_loss, report.grad_norm, report.tokens)
        self.reports.append([-1.0 if figure is None else figure for figure in figures])

    def on_sample(self, step: int, text: str) -> None: ...

    def on_early_stop(self, best: Best) -> None: ...

    def on_checkpoint(self, state: TrainState) -> None:
        self.state = copy.deepcopy(state)


def network(drop_rate: float) -> Transformer:
    torch.manual_seed(1)
    return Transformer(
        ModelConfig(vocab_size=50, context_length=16, emb_dim=16, n_heads=2, n_layers=2, drop_rate=drop_rate)
    )


def run(ranks: Together, model: nn.Module, listener: Listener, resume: TrainState | None = None) -> Report:
    ids = torch.randint(0, 50, (2000,), generator=torch.Generator().manual_seed(3))
    batches = Batches(Windows(ids[:1500], 16, 16), CONFIG.batch_size, 5)
    held_out = Batches(Windows(ids[1500:], 16, 16), CONFIG.batch_size, 5)
    assert isinstance(model, Transformer)
    task = Pretraining(model, CONFIG, batches.part(ranks.rank, ranks.count), held_out, lambda check: "text")
    return train(task, CONFIG, listener, resume=resume, ranks=ranks)


def digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for tensor in tensors.values():
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def resumed(ranks: Together, state: TrainState, weights: dict[str, Tensor]) -> tuple[str, str]:
    """Weights, and this process's generator, of a run that goes on from a checkpoint of the first process."""
    model = network(0.3)
    model.load_state_dict(weights)
    torch.manual_seed(99)
    run(ranks, model, Listener(), state)
    return digest(model.state_dict()), digest({"cpu": torch.get_rng_state()})


def main() -> None:
    torch.set_num_threads(1)
    ranks, told = Together.joined("a-run"), {}
    model, heard = network(0.0), Listener()
    run(ranks, model, heard)
    told |= {"plain": heard.reports, "asked": heard.asked, "weights": digest(model.state_dict())}

    model = network(0.3)
    torch.manual_seed(7 + ranks.rank)
    run(ranks, model, Listener())
    told["unbroken"] = digest(model.state_dict())

    model, heard = network(0.3), Listener(stop_at=6)
    torch.manual_seed(7 + ranks.rank)
    try:
        run(ranks, model, heard)
    except TrainingStopped as stopped:
        told["stopped"] = stopped.reason
    path = Path(sys.argv[1]) / "state.pt"
    if ranks.rank == 0:
        torch.save({"state": heard.state, "weights": model.state_dict()}, path)
    told["stopped_at"] = digest(model.state_dict())
    torch.distributed.barrier()
    kept = torch.load(path, weights_only=False)
    told["resumed"], told["generator"] = resumed(ranks, kept["state"], kept["weights"])

    def fail() -> None:
        raise ValueError

    try:
        ranks.led(fail)
    except (ValueError, TrainingStopped) as error:
        told["failed"] = getattr(error, "reason", type(error).__name__)
    ranks.leave()
    (Path(sys.argv[1]) / f"{ranks.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
