"""Fields of the form that starts a job: which there are, for whom, and in what words. Knows nothing of HTML.

Only words are written down here. Types and choices are read off the wire's schema, defaults and who has a setting off
the code that checks the request, so that the form cannot say otherwise than the server does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.llm.train.config import (
    ClassifyConfig,
    InstructConfig,
    LoopConfig,
    PreferenceConfig,
    SkipGramConfig,
    TrainConfig,
)
from app.schemas.job import JobCreate
from app.services import adapting, answer_checks, evaluation_checks, evaluation_rows
from app.services.job_checks import DIVISIBLE
from app.services.train_presets import TRAIN_PRESETS

Occasion = str
"""What a field may be for: a recipe that trains, or a kind of evaluation."""
CONFIGS: dict[Occasion, type[LoopConfig]] = {
    "pretrain": TrainConfig,
    "word2vec": SkipGramConfig,
    "classify": ClassifyConfig,
    "instruct": InstructConfig,
    "dpo": PreferenceConfig,
}
KINDS = tuple(evaluation_checks.SETTINGS)
OF_EACH_KIND = {"kind", "against", "max_rows"}
COLUMNS: dict[Occasion, set[str]] = {
    "pretrain": {"text"},  # the one of a dataset's share, which the form calls by the same name
    "classify": {"text", "label"},
    **answer_checks.ROLES,
    **{kind: set(roles) for kind, roles in evaluation_rows.ROLES.items()},
}
MAKES_NEW = ("pretrain", "classify")
"""Recipes that can start from a network of any shape."""
OF_TRAINING: dict[str, tuple[Occasion, ...]] = {
    "tokenizer": MAKES_NEW,
    "validation": tuple(CONFIGS),
    "test": ("classify",),
    "name": tuple(CONFIGS),
    "devices": tuple(sorted(DIVISIBLE)),
}
"""Of the request's own fields those that evaluations and some recipes refuse."""


@dataclass(frozen=True)
class Choice:
    value: str
    words: str
    of: tuple[Occasion, ...] = ()
    """Whose it is; empty: of all that have the field."""
    says: dict[str, Any] | None = None
    """Fields that have another default once it is chosen."""


@dataclass(frozen=True)
class FormField:
    """One field: what the request calls it, and what a person reads."""

    param: str
    label: str
    note: str = ""
    empty: str = ""
    """What leaving it out means, where its default is null."""
    of: tuple[Occasion, ...] = ()
    """Whose it is, where fewer have a use for it than the server lets have it."""
    of_choices: tuple[Choice, ...] = ()
    """Where they are not the type's own, in its own words."""
    variable: str = ""
    """Of a secret: what a shell calls it, in the command that is shown in its place."""

    @property
    def id(self) -> str:
        """Its element's; that of a whole job's preset is not that of a network's."""
        short = "train-preset" if self.param == "train.preset" else self.param.removeprefix("train.")
        return short.replace("_", "-").replace(".", "-")

    @cached_property
    def defaults(self) -> dict[Occasion, Any]:
        """By who has it."""
        found = _defaults(self.param)
        return {occasion: value for occasion, value in found.items() if not self.of or occasion in self.of}

    @property
    def input(self) -> Literal["switch", "whole", "number", "choice", "list", "text", "secret"]:
        types = _types(schema_of(self.param).annotation)
        if self.variable:
            return "secret"
        if self.of_choices:
            return "list" if any(get_origin(one) is list for one in types) else "choice"
        if self.param.startswith("columns."):
            return "choice"  # the script adds those of the dataset
        if bool in types:
            return "choice" if type(None) in types else "switch"
        if int in types or float in types:
            return "number" if float in types else "whole"
        return "choice" if any(get_origin(one) is Literal for one in types) else "text"

    @property
    def is_claim(self) -> bool:
        """True or false is chosen, or nothing."""
        return self.input == "choice" and bool in _types(schema_of(self.param).annotation)

    @property
    def choices(self) -> tuple[Choice, ...]:
        if self.of_choices:
            return self.of_choices
        optional = (Choice("", self.empty),) if self.empty else ()
        if self.is_claim:
            return (*optional, Choice("true", "yes"), Choice("false", "no"))
        named = (value for one in _types(schema_of(self.param).annotation) for value in get_args(one))
        return (*optional, *(Choice(value, value.replace("_", " ")) for value in named))

    @property
    def may_be_none(self) -> bool:
        """A number that can be switched off, and is not where nothing is said."""
        is_number = self.input in ("whole", "number")
        is_optional = type(None) in _types(schema_of(self.param).annotation)
        return is_number and is_optional and any(value is not None for value in self.defaults.values())

    @property
    def is_wide(self) -> bool:
        return self.input in ("text", "secret", "list", "switch")


def schema_of(param: str) -> FieldInfo:
    """The request's field of that name.

    Raises:
        KeyError: it has none.
    """
    model: type[BaseModel] = JobCreate
    *parts, name = param.split(".")
    for part in parts:
        model = part_of(model.model_fields[part].annotation) or BaseModel
    return model.model_fields[name]


def part_of(annotation: Any) -> type[BaseModel] | None:
    """The schema of an object, where a field may be one."""
    return next((one for one in _types(annotation) if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _types(annotation: Any) -> list[Any]:
    """What a union is of, without what annotates it."""
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [one for part in get_args(annotation) for one in _types(part)]
    return [annotation]


def _defaults(param: str) -> dict[Occasion, Any]:
    """Of a field of the request, by who has it."""
    part, _, name = param.rpartition(".")
    schema = schema_of(param)
    default = None if schema.is_required() else schema.default
    match part:
        case "train" if name == "preset":
            return {preset.recipe: None for preset in TRAIN_PRESETS.values()}
        case "train":
            of_configs = {recipe: dataclasses.fields(config) for recipe, config in CONFIGS.items()}
            return {recipe: one.default for recipe, ours in of_configs.items() for one in ours if one.name == name}
        case "train.lora":
            having = [recipe for recipe in CONFIGS if recipe in adapting.RECIPES | adapting.WHOLE]
        case "columns":
            having = [occasion for occasion, roles in COLUMNS.items() if name in roles]
        case "model":
            having = list(MAKES_NEW)
        case "evaluate" if name not in OF_EACH_KIND:
            having = [kind for kind, settings in evaluation_checks.SETTINGS.items() if name in settings]
        case "evaluate":
            having = list(KINDS)
        case "evaluate.judge":
            having = [kind for kind, settings in evaluation_checks.SETTINGS.items() if "judge" in settings]
        case _:
            having = list(OF_TRAINING.get(param, (*CONFIGS, *KINDS)))
    return dict.fromkeys(having, default)
