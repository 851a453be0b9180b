"""The form that generates has a control for all that the API takes, and makes the request that its fields say."""

from __future__ import annotations

import pytest
from fastapi.exceptions import RequestValidationError

from app.api.pages.generate_form import CONTROLS, filled, request_of, unescaped
from app.schemas.generate import GenerateIn, Sampling

NO_CONTROLS = {"model", "prompt", "messages", "begin", "logits", "stream"}  # what is asked, and the page's own business


def test_every_control_of_the_api_is_there_with_a_sentence() -> None:
    assert set(GenerateIn.model_fields) - NO_CONTROLS >= set(Sampling.model_fields)
    named = [control.name for control in CONTROLS]
    assert {*named, "seed", "stop"} == set(GenerateIn.model_fields) - NO_CONTROLS
    assert len(named) == len(set(named))
    assert all(control.note.endswith(".") and len(control.note) > 20 for control in CONTROLS)


@pytest.mark.parametrize("control", [one for one in CONTROLS if one.high is not None], ids=lambda one: one.name)
def test_both_ends_of_a_slider_are_taken(control) -> None:
    for end in (control.low, control.high):
        fields = filled({"prompt": "The sea", control.name: "" if end == control.off else f"{end:g}"})
        request_of(fields)


def test_what_is_empty_is_left_out() -> None:
    body = request_of(filled({"prompt": "The sea", "temperature": "", "max_new_tokens": " "}))
    assert body.model_dump(exclude_unset=True) == {"prompt": "The sea", "top_logprobs": 5}


def test_fields_make_the_request() -> None:
    given = {
        "mode": "chat",
        "system": "Be brief.",
        "prompt": "Hello\r\nthere",
        "model": "m",
        "top_k": "40",
        "seed": "7",
    }
    body = request_of(filled(given | {"stop": "\\n\r\nend", "temperature": "0.5", "n": "2"}))
    assert body.model_dump(exclude_unset=True) == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello\nthere"}],
        "model": "m",
        "temperature": 0.5,
        "top_k": 40,
        "max_new_tokens": 80,
        "n": 2,
        "top_logprobs": 5,
        "seed": 7,
        "stop": ["\n", "end"],
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", "warm"), ("temperature", "nan"), ("top_p", "2"), ("top_k", "1.5"), ("seed", "-1")],
)
def test_a_value_that_cannot_be_used_is_refused_at_its_field(name: str, value: str) -> None:
    with pytest.raises(RequestValidationError) as refused:
        request_of(filled({"prompt": "The sea", name: value}))
    assert refused.value.errors()[0]["loc"] == ("body", name)


def test_stop_strings_may_hold_what_a_line_cannot() -> None:
    assert [unescaped(line) for line in ("a\\nb", "\\t", "\\\\n", "\\x", "end\\")] == [
        "a\nb",
        "\t",
        "\\n",
        "\\x",
        "end\\",
    ]


def test_unknown_fields_of_an_address_are_left_alone() -> None:
    assert "evil" not in filled({"evil": "1"})
