"""Named settings of a whole job, the book's own runs among them. What the request says itself stands over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.errors import InvalidRequest, UnknownField
from app.schemas.job import LENGTHS, JobCreate, NetworkSpec, TrainSpec

BOOK_GPT = dict(preset="gpt2-124m", context_length=256, qkv_bias=False, tied=False)
"""GPT_CONFIG_124M of chapter 5, with the context that it trains with."""
VERDICT_STEPS_AN_EPOCH = 9
"""Of *The Verdict*: the book writes a sample after each epoch, and warms up for a fifth of the run."""
_AS_IN_THE_BOOK = dict(
    batch_size=2,
    context_length=256,
    stride=256,
    weight_decay=0.1,
    order="book",
    eval_every=5,
    eval_offset=1,
    sample_prompt="Every effort moves you",
    sample_tokens=50,
    sample_every=VERDICT_STEPS_AN_EPOCH,
)


@dataclass(frozen=True)
class TrainPreset:
    """A job but for its dataset."""

    train: dict[str, Any]
    model: dict[str, Any] = field(default_factory=lambda: dict(BOOK_GPT))
    tokenizer: str = "gpt2"
    validation: float = 0.1
    seed: int = 123


TRAIN_PRESETS = {
    "book-ch05": TrainPreset(
        dict(epochs=10, learning_rate=4e-4, min_learning_rate=4e-4, grad_clip=None, eval_batches=5) | _AS_IN_THE_BOOK
    ),
    "book-appd": TrainPreset(
        dict(
            epochs=15,
            learning_rate=1e-3,
            min_learning_rate=1e-5,
            warmup_steps=15 * VERDICT_STEPS_AN_EPOCH // 5,
            grad_clip=1.0,
            eval_batches=1,
        )
        | _AS_IN_THE_BOOK
    ),
}


def filled(body: JobCreate) -> JobCreate:
    """The request with what its preset says where it says nothing itself; without a preset, as it is.

    Raises:
        InvalidRequest: there is no such preset.
        UnknownField: the recipe has none.
    """
    name = body.train.preset
    if name is None:
        return body
    if body.recipe != "pretrain":
        raise UnknownField(f"train.preset: recipe {body.recipe} has none", param="train.preset")
    preset = TRAIN_PRESETS.get(name)
    if preset is None:
        told = f"there is no preset {name[:100]!r}; there are {', '.join(TRAIN_PRESETS)}"
        raise InvalidRequest(f"train.preset: {told}", param="train.preset")
    given = body.train.model_dump(exclude_unset=True, exclude={"preset"})
    kept = {name: value for name, value in preset.train.items() if name not in LENGTHS or not set(LENGTHS) & set(given)}
    asked = {"train": TrainSpec(**(kept | given))}
    goes_on = isinstance(body.model, str)  # with the tokenizer it has
    more: dict[str, Any] = {"validation": preset.validation, "seed": preset.seed}
    if not goes_on:
        more |= {"model": NetworkSpec(**preset.model), "tokenizer": preset.tokenizer}
    return body.model_copy(update=asked | {name: more[name] for name in more.keys() - body.model_fields_set})
