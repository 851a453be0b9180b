"""What can go wrong in the library. Services translate these into `app.errors`; nothing here knows the web."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN_CHARACTERS = 200
"""Of a word in a message: a megabyte without a space is one word."""


class LLMError(ValueError):
    """Base of the library's refusals; the offending value stands in the text."""


class ContextOverflow(LLMError):
    """More tokens than the model's context, or than the cache was made for."""


class UnknownToken(LLMError):
    """A word that a tokenizer without an unknown token does not know (the book's V1 raises KeyError)."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the vocabulary has no entry for {word[:SHOWN_CHARACTERS]!r}")
        self.word = word


class TokenIdOutOfRange(LLMError):
    """An id outside the tokenizer's vocabulary."""

    def __init__(self, token_id: int, vocab_size: int) -> None:
        super().__init__(f"token id {token_id} is outside 0..{vocab_size - 1}")
        self.token_id = token_id


class UntokenizableText(LLMError):
    """A text on which the tokenizer's splitting pattern gives up (a run of a million spaces can do it)."""


class BadVocabulary(LLMError):
    """A vocabulary that contradicts itself, or of a kind that is not read."""


class BadSpecialToken(BadVocabulary):
    """A special token that cannot be one. `index` is its place in the list; None: the list itself."""

    def __init__(self, index: int | None, message: str) -> None:
        super().__init__(message)
        self.index = index


class TooFewPairs(LLMError):
    """A text out of which fewer tokens can be learnt than were asked for; `found` is how many there would be."""

    def __init__(self, found: int, asked: int) -> None:
        super().__init__(f"the text has pairs that occur twice for {found:,} ids, not for {asked:,}")
        self.found = found


class MissingData(LLMError):
    """The files of an encoding are not in its folder, or are not the ones that were published."""


class BadConfig(LLMError):
    """A configuration whose values do not fit together. `field` names the one to change."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.reason = message


class BadWeights(LLMError):
    """A weight file that is truncated, of another shape, or of a kind that is not read."""


class BadCheckpoint(LLMError):
    """A checkpoint directory that is incomplete or was changed."""


class DatasetTooShort(LLMError):
    """Fewer tokens than one window of input and target, or no example."""


class BadPosition(LLMError):
    """A saved place in the data that was taken of another corpus, order or batch size."""


class BadExample(LLMError):
    """An example of a dataset that cannot be read or learnt from; `number` is its line or its place, from 1."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"example {number}: {reason}")
        self.number = number
        self.reason = reason


class BadField(BadExample):
    """A row whose `field` is to blame ("": the row itself); `number` is its line, from 1."""

    def __init__(self, line: int, field: str, reason: str) -> None:
        super().__init__(line, f"{field}: {reason}" if field else reason)
        self.field = field

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


class BadTable(LLMError):
    """A file of rows that cannot be read as such at all; where a line is to blame, the text names it."""


class TrainingStopped(Exception):
    """Raised by a callback to end a run between two steps; `reason` is `cancelled`, `paused`, `lost` or `shutdown`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TrainingDiverged(LLMError):
    """The loss or the gradient is no longer a number, or the loss climbed beyond what was allowed.

    `step` is the update at which that came out, counted from 1; `cause` what was seen first: `loss`, `gradient` or
    `validation_loss`; `batches` are the numbers of the run's batches that it came of.
    """

    def __init__(self, step: int, cause: str, what: str, batches: Sequence[int] = ()) -> None:
        super().__init__(f"at step {step} {what}")
        self.step = step
        self.cause = cause
        self.batches = list(batches)
