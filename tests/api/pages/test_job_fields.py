"""The form that starts a job has a field for whatever a job can be asked, with the defaults that the server has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from app.api.pages import train
from app.api.pages.job_fields import CONFIGS, KINDS, MAKES_NEW, FormField, part_of, schema_of
from app.api.pages.job_form import KIND_WORDS, JobForm
from app.api.pages.job_form_more import SHAPE
from app.api.pages.render import render
from app.llm.errors import BadConfig
from app.schemas.evaluation import EvaluateSpec, Kind
from app.schemas.job import JobCreate, NetworkSpec, Recipe
from app.services import evaluation_checks
from app.services.train_presets import TRAIN_PRESETS

ONE_DATASET = "the form is of one dataset; mixtures are asked for over HTTP and by the command"
A_SHARE = "the form keeps back a share of the text; a dataset to measure on is asked for over HTTP"
LEFT_OUT = {
    "dataset.dataset": ONE_DATASET,
    "dataset.weight": ONE_DATASET,
    "dataset.column": "it is chosen as the column of a text, whatever the recipe",
    "validation.dataset": A_SHARE,
    "validation.column": A_SHARE,
}
"""Of the request, with the reason."""
WITHOUT_USE = {
    ("classify", "sample_prompt"): "a classifier writes no text",
    ("classify", "sample_every"): "a classifier writes no text",
    ("instruct", "sample_prompt"): "answered are prompts that are kept back",
    ("dpo", "sample_prompt"): "answered are prompts that are kept back",
    ("word2vec", "precision"): "it has no matrix products",
    ("word2vec", "lora"): "word vectors are learnt whole",
    ("dpo", "compile"): "two networks take turns",
}
"""Settings of the loop that a recipe has no use for."""
CHOSEN = {"columns.text", "columns.label"}
"""Fields that always say something: one of what is there."""


class Fields(HTMLParser):
    """What each field of a form is called in the request, and the recipes and kinds that it is for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str | None] = []
        self.of: dict[str, set[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if param := attributes.get("data-param"):
            named = [names for names in self.open if names is not None]
            self.of.setdefault(param, set()).update((named[-1] if named else "").split())
        if tag in ("div", "fieldset"):
            self.open.append(attributes.get("data-of"))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("div", "fieldset"):
            self.open.pop()


@pytest.fixture(scope="module")
def offered() -> dict[str, set[str]]:
    return Fields(bytes(render(train.TrainPage("gpt2", ())).body).decode()).of


def leaves(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """All fields of a request that hold a value, by their full names."""
    for name, field in model.model_fields.items():
        inside = [part_of(one) for one in (field.annotation, *get_args(field.annotation))]
        inside += [part_of(one) for each in get_args(field.annotation) for one in get_args(each)]
        parts = {part for part in inside if part is not None}
        for part in parts:
            yield from leaves(part, f"{before}{name}.")
        if not parts or name in ("model", "dataset", "validation"):
            yield f"{before}{name}"


def form_fields(value: object) -> Iterator[FormField]:
    if isinstance(value, FormField):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from form_fields(one)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from form_fields(getattr(value, field.name))


def test_whatever_a_job_can_be_asked_has_a_field(offered: dict[str, set[str]]) -> None:
    assert set(leaves(JobCreate)) == offered.keys() | LEFT_OUT.keys()
    assert not offered.keys() & LEFT_OUT.keys()


@pytest.mark.parametrize("recipe", CONFIGS)
def test_each_recipe_has_the_settings_that_it_honours(offered: dict[str, set[str]], recipe: str) -> None:
    honoured = {field.name for field in dataclasses.fields(CONFIGS[recipe])}
    without_use = {name for which, name in WITHOUT_USE if which == recipe}
    trained = {param.split(".")[1] for param, of in offered.items() if param.startswith("train.") and recipe in of}
    assert trained - {"preset"} == honoured - without_use - ({"trainable"} if "trainable" not in honoured else set())
    assert without_use <= honoured


@pytest.mark.parametrize(
    ("recipe", "given"),
    [
        ("classify", {"sample_prompt": "Once"}),
        ("word2vec", {"precision": "bfloat16"}),
        ("word2vec", {"lora": {"rank": 4}}),
        ("dpo", {"compile": True}),
    ],
)
def test_what_a_recipe_refuses_has_no_field_there(recipe: str, given: dict[str, Any]) -> None:
    assert (recipe, *given) in WITHOUT_USE
    with pytest.raises(BadConfig):
        CONFIGS[recipe](**given)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_the_settings_that_it_honours(offered: dict[str, set[str]], kind: str) -> None:
    of_kind = {param.split(".")[1] for param, of in offered.items() if param.startswith("evaluate.") and kind in of}
    shared = {"kind", "against"}  # of the recipe, whatever the kind
    assert of_kind - shared == {"max_rows", *evaluation_checks.SETTINGS[kind]}
    assert offered["evaluate.against"] == {"evaluate"}


def test_recipes_kinds_shapes_and_presets_have_their_words() -> None:
    form = JobForm()
    assert {choice.value for choice in form.recipes} == set(get_args(Recipe))
    assert set(KINDS) == set(get_args(Kind)) == set(KIND_WORDS)
    assert set(SHAPE) == set(NetworkSpec.model_fields) - {"preset"}
    assert {choice.value for choice in form.preset.choices} == {"", *TRAIN_PRESETS}


def test_defaults_are_the_server_s() -> None:
    fields = {field.param: field for field in form_fields(JobForm())}
    assert fields["train.learning_rate"].defaults == {
        recipe: config().learning_rate for recipe, config in CONFIGS.items()
    }
    assert fields["evaluate.max_new_tokens"].defaults["judge"] == EvaluateSpec.model_fields["max_new_tokens"].default
    assert fields["devices"].defaults == {"pretrain": 1}
    assert fields["model.n_layers"].defaults == dict.fromkeys(MAKES_NEW)
    assert fields["priority"].defaults == dict.fromkeys((*CONFIGS, *KINDS), 0)


@pytest.mark.parametrize(
    "field", [one for one in form_fields(JobForm()) if one.param not in CHOSEN], ids=lambda field: field.param
)
def test_each_field_says_what_it_is_and_what_leaving_it_out_means(field: FormField) -> None:
    schema = schema_of(field.param)
    assert field.label
    assert field.defaults, "nobody has it"
    has_own_default = any(value not in (None, "") for value in field.defaults.values())
    told = field.empty or field.variable or field.of_choices or has_own_default
    assert told, schema.description


@pytest.mark.parametrize(
    ("param", "expected"),
    [
        ("train.batch_size", "whole"),
        ("train.learning_rate", "number"),
        ("validation", "number"),
        ("train.compile", "switch"),
        ("train.precision", "choice"),
        ("model.qkv_bias", "choice"),
        ("train.lora.targets", "list"),
        ("columns.prompt", "choice"),
        ("webhook.url", "text"),
        ("webhook.secret", "secret"),
    ],
)
def test_the_type_says_what_kind_of_field_it_is(param: str, expected: str) -> None:
    fields: dict[str, Any] = {field.param: field for field in form_fields(JobForm())}
    assert fields[param].input == expected


def test_a_number_that_can_be_switched_off_has_a_switch() -> None:
    fields = {field.param: field for field in form_fields(JobForm())}
    assert {param for param, field in fields.items() if field.may_be_none} == {"train.grad_clip", "train.subsample"}
