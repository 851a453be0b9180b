"""Fields of a lesson's form: what is written in them is what is asked."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.pages.lessons.field import Field, Kind, Unreadable


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        ("integer", 12, "12"),
        ("number", -0.5, "-0.5"),
        ("numbers", [1, 2.5], "1 2.5"),
        ("rows", [[1, 2], [3.5, -4]], "1 2\n3.5 -4"),
        ("lines", ["a b", "c"], "a b\nc"),
        ("text", "two\nlines", "two\nlines"),
        ("line", "one", "one"),
        ("model", "a-model", "a-model"),
    ],
)
def test_what_is_written_is_read_back(kind: Kind, value: Any, written: str) -> None:
    field = Field("it", "It", value, kind)
    assert field.written == written
    assert field.read(written) == value
    assert field.read(written.replace("\n", "\r\n")) == value  # as a browser sends it


@pytest.mark.parametrize("kind", ["integer", "number", "model", "dataset"])
def test_nothing_written_is_left_out(kind: Kind) -> None:
    assert Field("it", "It", 1, kind).read("") is None


@pytest.mark.parametrize("text", ["one", "1,5,", "nan", "inf", "1_000", "<b>", "0x10", "1e999"])
def test_what_is_no_number_is_told_by_the_fields_label(text: str) -> None:
    with pytest.raises(Unreadable, match=r"^How many: “.*” is not a number\.$"):
        Field("count", "How many", 1, "integer").read(text)


def test_numbers_may_be_written_as_people_do() -> None:
    assert Field("it", "It", [], "numbers").read("1, 2.5\n −3") == [1, 2.5, -3]
    assert isinstance(Field("it", "It", 0, "integer").read("7"), int)


def test_choices_are_those_that_there_are() -> None:
    field = Field("version", "Version", 2, "choice", choices=((1, "first"), (2, "second")))
    assert (field.read("1"), field.reads_as) == (1, "integer")
    with pytest.raises(Unreadable, match="none of the choices"):
        field.read("3")
