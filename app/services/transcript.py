"""The text of one choice as it is written: whole characters, and never a part of a stop string.

Knows events and words; knows no engine, no HTTP.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from app.llm.engine.request import FinishReason, TokenEvent
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.stream import StopStrings
from app.llm.tokenizer.word import UNKNOWN


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that could have come; its own bytes as text, U+FFFD where they are no UTF-8."""

    id: int
    text: str
    bytes: list[int]
    logprob: float
    sampled_logprob: float | None


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """A token and what it added to the text; those of all tokens join to the whole text."""

    id: int
    text: str
    bytes: list[int]
    logprob: float
    sampled_logprob: float | None
    top: list[Alternative]


@dataclass(frozen=True, slots=True)
class _Held:
    event: TokenEvent
    piece: str
    start: int  # characters before the piece


class Transcript:
    """Takes a choice's events in order; gives each token once its text is certain."""

    def __init__(
        self, tokenizer: Tokenizer, stops: Sequence[str], after: int | None = None, begun: Sequence[int] = ()
    ) -> None:
        """Write with `tokenizer`, up to the first of `stops`.

        Args:
            after: the id that the choice follows; where words are joined by spaces, the first one needs it.
            begun: ids that stand before it in the same text; a character may begin in them and end here.
        """
        self.finish_reason: FinishReason | None = None
        self.token_count = 0
        self._tokenizer = tokenizer
        self._decoder = tokenizer.stream()
        if after is not None and tokenizer.kind == "word":
            self._decoder.push(after)
        self._stops = StopStrings(stops)
        # A control token is no text; a word tokenizer's unknown word stands for one.
        self._silent = frozenset(id_ for text, id_ in tokenizer.special_tokens.items() if text != UNKNOWN)
        self.begun = ["" if token_id in self._silent else self._decoder.push(token_id) for token_id in begun]
        """What each of `begun` added to the text."""
        self._held: deque[_Held] = deque()
        self._decoded = self._certain = 0  # characters

    def push(self, event: TokenEvent) -> list[GeneratedToken]:
        """The tokens that became certain; all that were held back, once the choice has a `finish_reason`."""
        self.token_count += 1
        is_last, is_silent = event.finish_reason is not None, event.token_id in self._silent
        piece = "" if is_silent or event.finish_reason == "stop" else self._decoder.push(event.token_id)
        if is_last:
            piece += self._decoder.flush()
        certain, met = self._stops.push(piece)
        if is_last:
            certain += self._stops.flush()
        self._held.append(_Held(event, piece, self._decoded))
        self._decoded += len(piece)
        self._certain += len(certain)
        self.finish_reason = "stop" if met else event.finish_reason
        return self._release()

    def abort(self) -> list[GeneratedToken]:
        """End the choice here; the tokens that were held back."""
        self.finish_reason = "abort"
        self._certain = self._decoded
        return self._release()

    def _release(self) -> list[GeneratedToken]:
        released = []
        while self._held:
            held = self._held[0]
            if self.finish_reason is None and held.start + len(held.piece) > self._certain:
                break
            self._held.popleft()
            released.append(self._token(held.event, held.piece[: max(0, self._certain - held.start)]))
        return released

    def _token(self, event: TokenEvent, text: str) -> GeneratedToken:
        token_bytes = self._tokenizer.token_bytes
        top = [
            Alternative(
                each.token_id,
                token_bytes(each.token_id).decode(errors="replace"),
                list(token_bytes(each.token_id)),
                each.logprob,
                each.sampled_logprob,
            )
            for each in event.top
        ]
        content = list(token_bytes(event.token_id))
        return GeneratedToken(event.token_id, text, content, event.logprob, event.sampled_logprob, top)
