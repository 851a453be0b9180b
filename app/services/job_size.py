"""How long a job is, before it runs: tokens of its texts, windows, batches, steps. Counts what it can in a second.

A text that is encoded already, or is short, is counted exactly; of a long one the beginning stands for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.llm.train.config import LoopConfig, TrainConfig
from app.services import tokens
from app.services.corpus import Encoder, kept_back_from, known_count
from app.services.dataset_texts import Source
from app.services.job_checks import LOOKED_AT_CHARACTERS, Plan
from app.services.job_rows import Counted
from app.services.runtime import Runtime


@dataclass(frozen=True)
class Size:
    """A job in numbers."""

    dataset_tokens: int  # to learn from, each once
    is_exact: bool  # counted, not judged by the beginning
    steps: int
    batches_an_epoch: int
    batches_a_step: int
    measured_batches: int  # that each evaluation reads
    tokens_a_step: int  # words in the middle, of word2vec

    @property
    def tokens(self) -> int:
        """Read in all steps."""
        return self.steps * self.tokens_a_step

    @property
    def epochs(self) -> float:
        return self.steps * self.batches_a_step / self.batches_an_epoch


def of(runtime: Runtime, plan: Plan, encoder: Encoder) -> Size:
    """The size of a job whose texts hold a window each.

    Raises:
        UnknownWord: the tokenizer does not know a word of the text.
        DataMissing: a file is gone.
    """
    if plan.counted is not None:
        return _of_examples(plan.asked.train, plan.counted)
    from app.llm.data.windows import window_count  # torch, which a server needs only once it generates

    train, length = plan.asked.train, plan.asked.window
    stride = (train.stride or length) if isinstance(train, TrainConfig) else 1
    measured_stride = length if isinstance(train, TrainConfig) else 1
    learnt, measured, is_exact = _counts(runtime, plan, encoder)
    windows = max(1, sum(window_count(count, length, stride) for count in learnt))
    kept_back = sum(window_count(count, length, measured_stride) for count in measured)
    batch = min(train.batch_size, windows)
    an_epoch = windows // batch
    tokens_a_window = length if isinstance(train, TrainConfig) else 1
    return Size(
        dataset_tokens=sum(learnt),
        is_exact=is_exact,
        steps=train.steps(an_epoch),
        batches_an_epoch=an_epoch,
        batches_a_step=train.accumulate,
        measured_batches=min(train.eval_batches, -(-kept_back // train.batch_size)),
        tokens_a_step=batch * tokens_a_window * train.accumulate,
    )


def _of_examples(train: LoopConfig, counted: Counted) -> Size:
    batch = min(train.batch_size, counted.learnt)
    an_epoch = counted.learnt // batch
    return Size(
        dataset_tokens=counted.tokens,
        is_exact=counted.is_exact,
        steps=train.steps(an_epoch),
        batches_an_epoch=an_epoch,
        batches_a_step=train.accumulate,
        measured_batches=min(train.eval_batches, -(-counted.measured // train.batch_size)),
        tokens_a_step=round(batch * counted.padded) * train.accumulate,
    )


def _counts(runtime: Runtime, plan: Plan, encoder: Encoder) -> tuple[list[int], list[int], bool]:
    """Tokens of each text to learn from, of each to measure on, and whether all are exact."""
    learnt, measured = [], []
    for share in plan.shares:
        cut = kept_back_from(runtime.storage, share.source, plan.fraction, encoder.tokenizer)
        learnt.append(_count(runtime, encoder, share.source, (0, cut)))
        if cut is not None:
            measured.append(_count(runtime, encoder, share.source, (cut, None)))
    if plan.validation is not None:
        measured.append(_count(runtime, encoder, plan.validation.source, (0, None)))
    is_exact = all(exact for _, exact in (*learnt, *measured))
    return [count for count, _ in learnt], [count for count, _ in measured], is_exact


def _count(runtime: Runtime, encoder: Encoder, source: Source, part: tuple[int, int | None]) -> tuple[int, bool]:
    """Tokens of a part of a text, and whether that is exact."""
    known = known_count(runtime.storage, encoder, source.dataset, part, source.column)
    if known is not None:
        return known, True
    texts, is_all = source.beginning(runtime.storage, part, LOOKED_AT_CHARACTERS)
    ends = 0 if source.column is None else 1  # a token stands behind each row
    encoded = (tokens.encode(encoder.tokenizer, text, parse_special=False, param="dataset") for text in texts)
    found = sum(ends + len(ids) for ids in encoded)
    if is_all:
        return found, True
    start, end = part
    whole = (source.size if end is None else end) - start
    seen = len(texts) if source.column is not None else sum(map(len, texts))
    return round(found * whole / max(1, seen)), False
