"""Renders chat templates. Run as a process of its own for those that came with a model: they are programs of strangers.

A line of JSON in, `{"source", "context", "parts"}`; a line out, with `text` and `lengths`, or `refused` and why, or
`failed` and the error. Without a context a template is only compiled: even that may take for ever, as constants are
computed by it.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypedDict

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

READY = "ready"
OWN_CHARACTERS = 256 * 1024
"""What a template may write of its own, beside twice what it was given. Its text becomes tokens in the server, where a
character takes up to 40 bytes of memory."""
MEMORY_BYTES = 1024 * 1024 * 1024
_OF_TEMPLATES = (ArithmeticError, TypeError, ValueError, LookupError, AttributeError, RecursionError, MemoryError)
"""What the expressions of a template may raise."""


Part = tuple[int, bool]
"""Messages from the first on, so many; and whether the words that make the model answer stand behind them."""


class Told(TypedDict, total=False):
    """The text and the length of each part's, or why there is none."""

    text: str
    lengths: list[int | None]
    refused: str
    failed: str


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as Hugging Face's tokenizers set it up. Parsing computes nothing; compiling computes what is constant."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, optimized=False)
    made.globals["raise_exception"] = _refuse
    return made


def answer(source: str, context: dict[str, Any] | None, parts: Sequence[Part] = ()) -> Told:
    """The text of a template, or why there is none; without a context, no text.

    Args:
        parts: of the messages, how long the text of each is; None where the whole text does not begin with it.
    """
    try:
        template = _compiled(source)
        if context is None:
            return {"text": ""}
        whole, lengths = _rendered(template, context), []
        for count, is_asking in parts:
            its = context | {"messages": context["messages"][:count], "add_generation_prompt": is_asking}
            part = whole if its == context else _rendered(template, its)
            lengths.append(len(part) if whole.startswith(part) else None)
        return {"text": whole, "lengths": lengths}
    except TemplateError as error:
        return {"refused": str(error)[:1000]}
    except _OF_TEMPLATES as error:
        return {"failed": type(error).__name__}


def _rendered(template: Template, context: dict[str, Any]) -> str:
    parts, size = [], 0
    most = OWN_CHARACTERS + 2 * sum(len(each["content"]) for each in context["messages"])
    for part in template.generate(**context):
        size += len(part)
        if size > most:
            raise TemplateError(f"it writes more than {most:,} characters")
        parts.append(part)
    return "".join(parts)


@lru_cache(maxsize=8)
def _compiled(source: str) -> Template:
    return environment().from_string(source)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def main() -> None:
    """Answer line by line, until there is nobody any more who asks."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    print(READY, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answer(asked["source"], asked["context"], asked["parts"])), flush=True)


if __name__ == "__main__":
    main()
