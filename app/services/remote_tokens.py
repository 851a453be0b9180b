"""What a remote server's chunks say of single tokens, as records like our own; what it does not say is None."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.schemas.remote import RemoteChoice, RemoteLogprobs, RemoteTop

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_BYTES_NAME = re.compile(r"bytes:((?:\\x[0-9a-f]{2})+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RemoteAlternative:
    """A token that could have come."""

    text: str
    bytes: list[int] | None
    logprob: float
    id: None = None
    sampled_logprob: None = None


@dataclass(frozen=True, slots=True)
class RemoteToken:
    """A token, or a piece of text of which the remote does not tell the tokens; its `bytes` are then None, too."""

    text: str
    bytes: list[int] | None
    logprob: float | None
    top: list[RemoteAlternative]
    id: None = None
    sampled_logprob: None = None


def tokens_of(choice: RemoteChoice, top: int) -> list[RemoteToken]:
    """The tokens of one chunk. Their texts join to the chunk's.

    Args:
        top: how many alternatives of each are wanted.
    """
    text = choice.text or (choice.delta.content if choice.delta else None) or ""
    named = _named(choice.logprobs) if choice.logprobs else []
    if not named:
        return [RemoteToken(text, None, None, [])] if text else []
    contents = [_content(each) for each, _, _ in named]
    return [
        RemoteToken(piece, content, logprob, [_alternative(each) for each in tops[:top]])
        for piece, content, (_, logprob, tops) in zip(_shared_out(text, contents), contents, named, strict=True)
    ]


def _named(logprobs: RemoteLogprobs) -> list[tuple[RemoteTop, float | None, Sequence[RemoteTop]]]:
    """Each token with its log-probability and the likeliest at its place, best first."""
    if logprobs.content is not None:
        return [(each, each.logprob, each.top_logprobs or ()) for each in logprobs.content]
    names = logprobs.tokens or []
    own = logprobs.token_logprobs or []
    tops = logprobs.top_logprobs or []
    if len(own) != len(names):
        return []
    found: list[tuple[RemoteTop, float | None, Sequence[RemoteTop]]] = []
    for place, (name, logprob) in enumerate(zip(names, own, strict=True)):
        others = (tops[place] if place < len(tops) else None) or {}
        ranked = sorted(others.items(), key=lambda item: item[1], reverse=True)
        likeliest = [RemoteTop(token=other, logprob=its) for other, its in ranked]
        found.append((RemoteTop(token=name, logprob=logprob or 0.0), logprob, likeliest))
    return found


def _content(token: RemoteTop) -> list[int] | None:
    """A token's bytes: as told, or as its name spells them; a name with U+FFFD does not say which they were."""
    if token.bytes is not None:
        return token.bytes
    spelled = _BYTES_NAME.fullmatch(token.token)
    if spelled:
        return list(bytes.fromhex(spelled[1].replace("\\x", "")))
    return None if REPLACEMENT in token.token else list(token.token.encode())


def _alternative(token: RemoteTop) -> RemoteAlternative:
    content = _content(token)
    text = token.token if content is None else bytes(content).decode(errors="replace")
    return RemoteAlternative(text, content, token.logprob)


def _shared_out(text: str, contents: Sequence[list[int] | None]) -> list[str]:
    """A chunk's text by token, where their bytes spell it; else all of it stands at the last."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pieces = [decoder.decode(bytes(content or ())) for content in contents]
    if "".join(pieces) == text:
        return pieces
    return [""] * (len(contents) - 1) + [text]
