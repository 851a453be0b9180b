"""Rows of CSV: the head, quotation marks over lines, and rows that do not fit it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.data.csv_rows import read_csv
from app.llm.data.lines import numbered_lines
from app.llm.data.rows import LONGEST_ROW, BadRow, Row, Table
from app.llm.errors import BadTable


def table(text: str) -> Table:
    return read_csv(numbered_lines([text.encode()]))


def rows(text: str) -> list[Row | BadRow]:
    return list(table(text).rows)


@given(st.lists(st.tuples(st.text(min_size=1, alphabet='ab",\n; é'), st.text(alphabet='ab",\n;\t é')), min_size=1))
def test_what_pythons_writer_writes_is_read(pairs: list[tuple[str, str]]) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("left", "right"), *pairs])
    assert [row.values for row in rows(file.getvalue())] == [{"left": a, "right": b} for a, b in pairs]


def test_a_row_stands_at_the_line_on_which_it_begins() -> None:
    text = '\n\ntext,label\n"a\nb",x\n\n"c",y\nd\ne,z\n'
    assert rows(text) == [
        Row(4, {"text": "a\nb", "label": "x"}),
        Row(7, {"text": "c", "label": "y"}),
        BadRow(8, None, "1 fields; the head has 2"),
        Row(9, {"text": "e", "label": "z"}),
    ]


@pytest.mark.parametrize(("head", "names"), [("a,b;c", ["a", "b;c"]), ("a;b", ["a", "b"]), ("a\tb", ["a", "b"])])
def test_the_head_tells_what_stands_between_fields(head: str, names: list[str]) -> None:
    assert table(head).columns == names


def test_columns_without_a_name_are_called_by_their_place() -> None:
    assert table(",text\n0,a\n").columns == ["column_1", "text"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line in it"),
        ("\n \n", "no line in it"),
        ("\na,b,a\n", "line 2: 2 columns are called 'a'; is the first line a head"),
        (",".join(map(str, range(1001))), "line 1: 1,001 columns are more than 1,000"),
        ('"a\nb', "line 1: the head cannot be read"),
    ],
)
def test_a_head_that_cannot_be_one(text: str, message: str) -> None:
    with pytest.raises(BadTable, match=message):
        table(text)


def test_quotation_marks_that_do_not_fit_spoil_their_row_alone() -> None:
    told = "no CSV: ',' expected after '\"'"
    assert rows('a,b\n"x"y,1\n2,3\n') == [BadRow(2, None, told), Row(3, {"a": "2", "b": "3"})]
    assert rows('a,b\n1,2\n"x"y,1') == [Row(2, {"a": "1", "b": "2"}), BadRow(3, None, told)]


def test_a_quotation_mark_that_is_never_closed_ends_the_reading() -> None:
    text = 'a,b\n1,"x\n' + "a line\n" * (LONGEST_ROW // 7 + 1)
    with pytest.raises(BadTable, match="the row that begins at line 2 is longer than"):
        rows(text)
    with pytest.raises(BadTable, match="the row that begins at line 3 has a quotation mark that nothing closes"):
        rows('a,b\n1,2\n1,"x\n2,3\n4,5\n')


def test_a_blank_line_with_a_stray_end_is_blank() -> None:
    """It was told as a bad row of line 0."""
    assert rows("a,b\n\r\t\n1,2\n") == [Row(3, {"a": "1", "b": "2"})]


def test_a_field_may_be_longer_than_csv_takes_by_itself() -> None:
    (row,) = rows("a\n" + "x" * 1_000_000)
    assert isinstance(row, Row)
    assert len(row.values["a"]) == 1_000_000
