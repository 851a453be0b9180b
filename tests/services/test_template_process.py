"""Strangers' templates in a process of their own: whatever they do, the next one is rendered."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services.template_process import TemplateProcess
from tests.fakes import CHATML

MESSAGES = {"messages": [{"role": "user", "content": "né 👍"}], "add_generation_prompt": True}
SAID = {"text": "<|im_start|>user\nné 👍<|im_end|>\n<|im_start|>assistant\n", "lengths": []}


@pytest.fixture
def templates() -> Iterator[TemplateProcess]:
    made = TemplateProcess(render_s=1.0)
    yield made
    made.close()


def test_a_template_is_rendered(templates):
    assert templates.answer(CHATML, MESSAGES) == SAID
    assert templates.answer(CHATML, MESSAGES | {"add_generation_prompt": False})["text"].endswith("<|im_end|>\n")


def test_the_places_where_parts_end_are_told(templates):
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    context = {"messages": turns, "add_generation_prompt": False}
    told = templates.answer(CHATML, context, [(1, True), (2, False), (3, False), (2, True)])
    text = told["text"]
    assert [text[:length] for length in told["lengths"][:3]] == [
        "<|im_start|>user\nuser<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\nuser<|im_end|>\n<|im_start|>assistant\nassistant<|im_end|>\n",
        text,
    ]
    assert told["lengths"][3] is None  # a user's turn follows, and not the words that make the model answer


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{% for _ in range(99999) %}{% for _ in range(99999) %}{% endfor %}{% endfor %}", "longer than 1 seconds"),
        ("{% for _ in range(99999) %}{{ 'x' * 9999 }}{% endfor %}", "more than"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{{ raise_exception('one turn only') }}", "one turn only"),
        ("{{ 'x' | nothing }}", "nothing"),
    ],
)
def test_what_a_template_may_not_do(templates, source, told):
    started = time.monotonic()
    assert told in next(iter(templates.answer(source, MESSAGES).values()))
    assert time.monotonic() - started < 20
    assert templates.answer(CHATML, MESSAGES) == SAID


def test_a_template_writes_twice_what_was_said_and_a_little_of_its_own(templates):
    said = MESSAGES | {"messages": [{"role": "user", "content": "a" * 100_000}]}
    assert len(templates.answer("{{ messages[0].content }}{{ 'b' * 300_000 }}", said)["text"]) == 400_000
    assert "more than 462,144 characters" in templates.answer("{{ 'b' * 470_000 }}", said)["refused"]


def test_memory_has_a_limit(templates):
    told = templates.answer("{{ ('x' * 2000000000) | length }}", MESSAGES)
    assert told.get("failed") == "MemoryError" or "refused" in told
    assert templates.answer(CHATML, MESSAGES) == SAID


def test_a_process_that_was_killed_is_started_again(templates):
    templates.answer(CHATML, MESSAGES)
    child = templates._child
    os.kill(child.pid, 9)
    child.wait()
    assert "refused" in templates.answer(CHATML, MESSAGES)
    assert templates.answer(CHATML, MESSAGES) == SAID


def test_it_ends_with_who_asks(templates):
    templates.answer(CHATML, MESSAGES)
    child = templates._child
    child.stdin.close()
    assert child.wait(10) == 0


def test_it_is_not_told_our_secrets(templates, monkeypatch):
    monkeypatch.setenv("INKLING_GENERATION_API_KEY", "a key of the backend")
    monkeypatch.setenv("DATABASE_PASSWORD", "not our name, and not its business either")
    templates.answer(CHATML, MESSAGES)
    environment = Path(f"/proc/{templates._child.pid}/environ").read_bytes().decode()
    names = {pair.partition("=")[0] for pair in environment.split("\0") if pair}
    assert names <= {"PATH", "PYTHONPATH", "LANG"}
