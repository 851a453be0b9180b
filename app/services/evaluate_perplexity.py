"""The kind `perplexity`: how well models foretell a dataset's texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from app.errors import InvalidRequest
from app.llm.perplexity import Loss, losses, spans, text_loss
from app.llm.tokenizer.base import Tokenizer
from app.services import evaluation_models
from app.services.corpus import Encoder, ids_of
from app.services.evaluation_models import Writer
from app.services.evaluation_work import Work
from app.services.job_rows import encoded


def run(work: Work) -> None:
    """Score each row, or each window of a text, with each model."""
    work.check_words()
    done, total = 0, work.rows.count * len(work.models)
    for place, name in enumerate(work.models):
        done, total = _read(work, place, name, done, total)
        work.flush()


def report(work: Work) -> list[dict[str, Any]]:
    """Of each model, what all rows together say.

    Raises:
        InvalidRequest: there was nothing to foretell.
    """
    found = []
    for place, name in enumerate(work.models):
        sums = Loss(0.0, 0, 0)
        rows = failed = 0
        for each in work.results(place):
            rows += 1
            failed += each.error is not None
            if each.error is None:
                figures = each.figures
                sums = Loss(sums.nats + figures["nats"], sums.tokens + figures["tokens"], sums.bytes + figures["bytes"])
        if not sums.tokens and not failed:
            raise InvalidRequest("dataset: it has no text of two tokens, so nothing can be foretold", param="dataset")
        perplexity = sums.perplexity
        found.append(
            {
                "model": name,
                "rows": rows,
                "failed": failed,
                "tokens": sums.tokens,
                "bytes": sums.bytes,
                "nats_per_token": sums.per_token,
                "perplexity": perplexity if perplexity is not None and math.isfinite(perplexity) else None,
                "bits_per_byte": sums.bits_per_byte,
            }
        )
    return found


def _read(work: Work, place: int, name: str, done: int, total: int) -> tuple[int, int]:
    """Score with one model, which is out of memory afterwards: steps done by then, and steps of the job.

    Args:
        done: steps before; `total`: of the job, as far as it is known.
    """
    is_text = not work.rows.columns
    with evaluation_models.lent(work, name) as writer:
        known = work.done(place)
        ids = _ids(work, writer) if is_text else []
        own = _windows(work, len(ids)) if is_text else work.rows.count
        total += own if is_text else 0
        work.begin(f"reading with {name}", place, done=done + len(known), total=total)
        found = _of_text(work, writer, ids, known) if is_text else _of_rows(work, writer, known)
        for row, loss in found:
            work.add(row, **_told(loss))
    return done + own, total


def _of_rows(work: Work, writer: Writer, known: set[int]) -> Iterator[tuple[int, Loss]]:
    window, stride = work.settings["window"], work.settings["stride"]
    for line in work.rows.lines(work.runtime.storage):
        if line.number not in known:
            ids = encoded(writer.tokenizer, line, line.text(work.rows.columns["text"]))
            bytes_of = _bytes_of(writer.tokenizer)
            yield line.number, text_loss(writer.network, ids, window, stride, bytes_of, work.check)


def _of_text(work: Work, writer: Writer, ids: Sequence[int], known: set[int]) -> Iterator[tuple[int, Loss]]:
    most = _windows(work, len(ids))
    for number, span in enumerate(spans(len(ids), work.settings["window"], work.settings["stride"]), start=1):
        if number > most:
            return
        if number not in known:
            work.check()
            nats = float(losses(writer.network, ids, span).sum())
            bytes_of = _bytes_of(writer.tokenizer)
            size = sum(bytes_of(int(token)) for token in ids[span.first : span.end])
            yield number, Loss(nats, span.end - span.first, size)


def _ids(work: Work, writer: Writer) -> Any:
    """The whole text as ids: encoded once, then in a file."""
    with work.runtime.database.read() as session:
        name = work.runtime.catalogue.info(session, writer.name).tokenizer
        encoder = Encoder.of(session, name, writer.tokenizer, lambda _: work.check())
    return ids_of(work.runtime.storage, encoder, work.rows.dataset, check=work.check)


def _windows(work: Work, count: int) -> int:
    """Windows of a text of so many tokens."""
    there = sum(1 for _ in spans(count, work.settings["window"], work.settings["stride"]))
    most = work.rows.max_rows
    return there if most is None else min(there, most)


def _bytes_of(tokenizer: Tokenizer) -> Any:
    return lambda token_id: len(tokenizer.token_bytes(token_id))


def _told(loss: Loss) -> dict[str, Any]:
    if not math.isfinite(loss.nats):
        return {"error": "the model's logits are no numbers here"}
    return {"figures": {"nats": loss.nats, "tokens": loss.tokens, "bytes": loss.bytes}}
