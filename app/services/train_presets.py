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
    recipe: str = "pretrain"
    model: dict[str, Any] | None = field(default_factory=lambda: dict(BOOK_GPT))  # None: the request names one
    tokenizer: str = "gpt2"
    validation: float = 0.1
    test: float | None = None
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
    "book-ch06": TrainPreset(
        dict(
            epochs=5,
            batch_size=8,
            learning_rate=5e-5,
            min_learning_rate=5e-5,
            weight_decay=0.1,
            trainable="last_block",
            reads="last_place",
            balanced=True,
            eval_every=50,
        ),
        recipe="classify",
        model=dict(preset="gpt2-124m"),
        validation=0.1,
        test=0.2,
    ),
    "book-ch07": TrainPreset(
        dict(
            epochs=2,
            batch_size=8,
            learning_rate=5e-5,
            min_learning_rate=5e-5,
            weight_decay=0.1,
            grad_clip=None,
            template="alpaca",
            mask_prompt=False,
            max_tokens=1024,
            batching="by_chance",
            eval_every=5,
            eval_offset=1,
            eval_batches=5,
        ),
        recipe="instruct",
        model=None,
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
    known = [one for one, preset in TRAIN_PRESETS.items() if preset.recipe == body.recipe]
    if not known:
        raise UnknownField(f"train.preset: recipe {body.recipe} has none", param="train.preset")
    preset = TRAIN_PRESETS[name] if name in known else None
    if preset is None:
        told = f"there is no preset {name[:100]!r} of recipe {body.recipe}; there are {', '.join(known)}"
        raise InvalidRequest(f"train.preset: {told}", param="train.preset")
    given = body.train.model_dump(exclude_unset=True, exclude={"preset"})
    kept = {name: value for name, value in preset.train.items() if name not in LENGTHS or not set(LENGTHS) & set(given)}
    asked = {"train": TrainSpec(**(kept | given))}
    goes_on = isinstance(body.model, str)  # with the tokenizer it has
    more: dict[str, Any] = {"validation": preset.validation, "seed": preset.seed}
    if preset.test is not None:
        more["test"] = preset.test
    if not goes_on and preset.model is not None:
        more |= {"model": NetworkSpec(**preset.model), "tokenizer": preset.tokenizer}
    return body.model_copy(update=asked | {name: more[name] for name in more.keys() - body.model_fields_set})
