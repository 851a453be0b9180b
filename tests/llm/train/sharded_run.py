"""One of the processes of tests/llm/train/test_shards.py: trains along, and writes what it saw to FOLDER/RANK.json.

The first writes checkpoints to FOLDER: NETWORK.pt at the end, NETWORK-stopped.pt of a run that was paused. With a third
argument, such a folder, all go on from the paused runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from app.llm.config import LoRAConfig, ModelConfig
from app.llm.data.windows import Batches, Windows
from app.llm.errors import TrainingDiverged, TrainingStopped
from app.llm.evaluate import write_greedily
from app.llm.model.lora import apply_lora, lora_weights
from app.llm.model.transformer import Transformer
from app.llm.train import loop
from app.llm.train.config import TrainConfig
from app.llm.train.loop import TrainState, train
from app.llm.train.optimizer import make_optimizer
from app.llm.train.pretrain import Pretraining
from app.llm.train.ranks import ALONE, Ranks, Together
from app.llm.train.shards import Sharded
from tests.llm.train.ranked_run import Listener, digest

PLAIN = TrainConfig(
    max_steps=10, batch_size=6, accumulate=2, learning_rate=0.01, grad_clip=0.5, eval_every=4, sample_every=5,
    checkpoint_every=5,
)  # fmt: skip
GPT = ModelConfig(vocab_size=50, context_length=16, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.0, tied=True)
LLAMA = replace(
    GPT, norm="rmsnorm", position="rope", mlp="swiglu", n_kv_heads=1, hidden_dim=40, tied=False, qkv_bias=False
)
SHAPES = {"gpt": GPT, "llama": LLAMA, "dropout": replace(GPT, drop_rate=0.3), "lora": GPT, "bfloat16": GPT}
CONFIGS = {
    "lora": replace(PLAIN, lora=LoRAConfig(rank=4, alpha=8.0)),
    "bfloat16": replace(PLAIN, precision="bfloat16"),
}
EXPLODES = replace(PLAIN, learning_rate=10.0, grad_clip=None)


class Keeper(Listener):
    """Keeps the weights of a checkpoint and the samples, too."""

    def __init__(self, model: Transformer, stop_at: int | None = None) -> None:
        super().__init__(stop_at)
        self.samples: list[str] = []
        self.weights: dict[str, Tensor] = {}
        self._model = model

    def on_sample(self, step: int, text: str) -> None:
        self.samples.append(text)

    def on_checkpoint(self, state: TrainState) -> None:
        super().on_checkpoint(state)
        self.weights = {name: weight.detach().clone() for name, weight in self._model.named_parameters()}


def network(name: str) -> Transformer:
    torch.manual_seed(1)
    model = Transformer(SHAPES[name])
    if name == "lora":
        apply_lora(model, CONFIGS["lora"].lora)
        for weight in lora_weights(model).values():
            nn.init.normal_(weight, std=0.1)  # else only half of them have a gradient at first
    return model


def run(ranks: Ranks, model: Transformer, config: TrainConfig, heard: Keeper, resume: TrainState | None = None) -> None:
    ids = torch.randint(0, 50, (2000,), generator=torch.Generator().manual_seed(3))
    batches = Batches(Windows(ids[:1500], 16, 16), config.batch_size, 5)
    held_out = Batches(Windows(ids[1500:], 16, 16), config.batch_size, 5)

    def write(check: Callable[[], None]) -> str:
        return str(write_greedily(model, [1, 2, 3], 8, stop_id=None, check=check))

    task = Pretraining(model, config, batches.part(ranks.rank, ranks.count), held_out, write)
    train(task, config, heard, resume=resume, ranks=ranks)


def held_bytes(tensors: list[Tensor]) -> int:
    """That this process has memory for, whatever a view says of it."""
    parts = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    storages = {part.untyped_storage().data_ptr(): part.untyped_storage() for part in parts}  # some share one
    return sum(storage.nbytes() for storage in storages.values())


def told_of(ranks: Ranks, name: str, folder: Path, kept: Path | None) -> dict[str, Any]:
    model, config = network(name), CONFIGS.get(name, PLAIN)
    heard, made = Keeper(model), []

    def noted(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
        made.append(make_optimizer(parameters, config))
        return made[-1]

    loop.make_optimizer = noted  # what is measured is what the loop trains with
    torch.manual_seed(7 + ranks.rank)
    state = None
    if kept is not None:
        found = torch.load(kept / f"{name}-stopped.pt", weights_only=False)
        model.load_state_dict(found["weights"], strict=False)  # a tied head has no name of its own
        state = found["state"]
        torch.manual_seed(99)
    run(ranks, model, config, heard, state)
    told: dict[str, Any] = {"reports": heard.reports, "samples": heard.samples}
    told["weight_bytes"] = held_bytes(list(model.parameters()))
    told["optimizer_bytes"] = held_bytes([t for each in made[0].state.values() for t in each.values() if t.ndim])
    told["gradient_bytes"] = held_bytes([p.grad for p in model.parameters() if p.grad is not None])
    if ranks.rank == 0:
        assert heard.state is not None
        told |= {"digest": digest(heard.weights), "optimizer": digest(dict(heard.state.optimizer))}
        torch.save({"state": heard.state, "weights": heard.weights}, folder / f"{name}.pt")
    return told


def stopped(ranks: Ranks, name: str, folder: Path) -> dict[str, Any]:
    """A run that is paused in the midst of its sixth update."""
    model = network(name)
    heard = Keeper(model, stop_at=6)
    torch.manual_seed(7 + ranks.rank)
    try:
        run(ranks, model, CONFIGS.get(name, PLAIN), heard)
    except TrainingStopped as ended:
        if ranks.rank == 0:
            torch.save({"state": heard.state, "weights": heard.weights}, folder / f"{name}-stopped.pt")
        return {"stopped": ended.reason}
    raise AssertionError("it was to be paused")


def diverged(ranks: Ranks) -> str:
    model = network("gpt")
    with torch.no_grad():
        model.blocks[0].attention_norm.shift.fill_(float("inf"))
    try:
        run(ranks, model, replace(PLAIN, eval_every=100, eval_offset=50), Keeper(model))
    except TrainingDiverged as error:
        return str(error)
    raise AssertionError("it was to diverge")


def failed(ranks: Ranks) -> str:
    """A sample cannot be kept, while the first process has whole weights and the others wait."""
    model = network("gpt")
    heard = Keeper(model)

    def fail(step: int, text: str) -> None:
        raise ValueError

    heard.on_sample = fail  # type: ignore[method-assign]
    try:
        run(ranks, model, PLAIN, heard)
    except (ValueError, TrainingStopped) as error:
        return str(getattr(error, "reason", type(error).__name__))
    raise AssertionError("it was to fail")


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    kept = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    torch.set_num_threads(1)
    ranks: Ranks = Together.joined("a-run")
    kinds: dict[str, Callable[[], Ranks]] = {"alone": lambda: ALONE, "whole": Together, "sharded": Sharded}
    make = kinds[kind]
    told: dict[str, Any] = {name: told_of(make(), name, folder, kept) for name in SHAPES}
    if kept is None:
        told |= {f"{name} stopped": stopped(make(), name, folder) for name in SHAPES}
        told |= {"diverged": diverged(make()), "failed": failed(make())}
    ranks.leave()
    (folder / f"{ranks.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
