"""`inkling train instruct` and `inkling train dpo`: teach a model to answer, and which answers are better."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.cli.call import Json, Url, _options
from app.cli.train import (
    DATASET_ID,
    Asked,
    Epochs,
    Estimate,
    Follow,
    Key,
    Name,
    PrintCurl,
    Seed,
    Settings,
    Steps,
    run,
    said,
)

HINT = "inkling generate --chat --model MODEL 'Hi'"
Dataset = Annotated[str, typer.Option(help="A file of rows (JSONL, JSON, CSV, Parquet), or the id of a dataset.")]
Base = Annotated[str, typer.Option(help="The model that learns.")]
TemplateName = Annotated[str | None, typer.Option(help="alpaca, phi3 or chat (the model's own).")]
MaxTokens = Annotated[int | None, typer.Option(help="Longer dialogues are cut.", min=1)]
Trainable = Annotated[str | None, typer.Option(help="all or last_block.")]
Validation = Annotated[str | None, typer.Option(help="The share of the rows to measure on, or a dataset's id.")]


def instruct(
    dataset: Dataset,
    base: Base,
    name: Name = None,
    template: TemplateName = None,
    learn_prompts: Annotated[bool, typer.Option("--learn-prompts", help="Prompts are learnt as well.")] = False,
    max_tokens: MaxTokens = None,
    trainable: Trainable = None,
    validation: Validation = None,
    epochs: Epochs = None,
    steps: Steps = None,
    option: Settings = None,
    seed: Seed = None,
    key: Key = None,
    estimate: Estimate = False,
    print_curl: PrintCurl = False,
    follow: Follow = True,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Teach a model to answer: Alpaca records, chats, prompts with completions."""
    train = said(template=template, max_tokens=max_tokens, trainable=trainable, epochs=epochs, max_steps=steps)
    train |= {"mask_prompt": False} if learn_prompts else {}
    body = _body("instruct", base, name, validation, seed, _options(option or []) | train)
    run(dataset, body, Asked(key, estimate, print_curl, follow, as_json, url), HINT)


def dpo(
    dataset: Dataset,
    base: Base,
    name: Name = None,
    beta: Annotated[float | None, typer.Option(help="How dear it is to move away from the model as it was.")] = None,
    template: TemplateName = None,
    max_tokens: MaxTokens = None,
    trainable: Trainable = None,
    validation: Validation = None,
    epochs: Epochs = None,
    steps: Steps = None,
    option: Settings = None,
    seed: Seed = None,
    key: Key = None,
    estimate: Estimate = False,
    print_curl: PrintCurl = False,
    follow: Follow = True,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Teach a model which of two answers is better: prompts with chosen and rejected."""
    train = said(
        beta=beta, template=template, max_tokens=max_tokens, trainable=trainable, epochs=epochs, max_steps=steps
    )
    body = _body("dpo", base, name, validation, seed, _options(option or []) | train)
    run(dataset, body, Asked(key, estimate, print_curl, follow, as_json, url), HINT)


def _body(
    recipe: str, base: str, name: str | None, validation: str | None, seed: int | None, train: dict[str, Any]
) -> dict[str, Any]:
    body: dict[str, Any] = {"recipe": recipe, "dataset": DATASET_ID, "model": base, "train": train}
    return body | said(name=name, validation=_share_or_id(validation), seed=seed)


def _share_or_id(given: str | None) -> float | str | None:
    try:
        return None if given is None else float(given)
    except ValueError:
        return given
