"""Chat templates of strangers: rendered, refused or failed within their time; users' words make no control token."""

from __future__ import annotations

import atexit
import time
from functools import cache

from jinja2 import TemplateError

from app.errors import InvalidRequest
from app.schemas.generate import Message
from app.services.chat import ChatTemplate
from app.services.template_process import TemplateProcess
from tests.weight_files import TEMPLATE, VOCABULARY

LONGEST = 6 * 1024
RENDER_S = 0.2
MARGIN_S = 12.0  # a process that is ended is started again, on a machine that is busy
TOKENIZER = VOCABULARY.tokenizer()
ROLES = ("system", "user", "assistant")
PLAIN = ChatTemplate(TEMPLATE, TOKENIZER, is_ours=True)


@cache
def process() -> TemplateProcess:
    made = TemplateProcess(RENDER_S)
    atexit.register(made.close)
    return made


def check(content: bytes) -> None:
    """A template, then what is said, each before a 0xFF."""
    source, *said = (part.decode(errors="ignore") for part in content.split(b"\xff"))
    messages = [Message(role=ROLES[place % 3], content=text) for place, text in enumerate(said or ["hello"])]
    check_control(messages)
    try:
        template = ChatTemplate(source, TOKENIZER)
    except (TemplateError, RecursionError):
        return
    template._render = process().answer
    started = time.monotonic()
    told = process().answer(source, None)
    assert len(set(told) & {"text", "refused", "failed"}) == 1
    try:
        ids = template.encode(messages)
        assert all(0 <= each < TOKENIZER.vocab_size for each in ids)
    except InvalidRequest as error:
        assert error.message
    assert time.monotonic() - started < 2 * (RENDER_S + MARGIN_S)


def check_control(messages: list[Message]) -> None:
    """A template that puts what is said together, with one control token behind it."""
    ids = PLAIN.encode(messages)
    assert [place for place, each in enumerate(ids) if PLAIN.is_control(each)] == [len(ids) - 1]
    assert TOKENIZER.decode(ids[:-1]) == "".join(each.content for each in messages)
