"""A job's texts read through before it is queued: where they are large, for then nobody should wait for that.

The report of each is made, and all of it is encoded, which the trainer then finds done. A mistake in line 900,000 is
told before the run, with its line. Small texts go straight to the queue: the trainer reads them in a second.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.tables import job as job_table
from app.db.tables import job_validation as rows
from app.db.tables.job import Ending, JobRow
from app.errors import AppError, NoDiskSpace, UnknownWord
from app.llm.errors import UnknownToken, UntokenizableText
from app.schemas.dataset_report import ReportQuery
from app.services import dataset_report, datasets, networks
from app.services.corpus import Encoder, ids_of, kept_back_from, known_count
from app.services.dataset_texts import Source
from app.services.job_checks import FROM_BYTES, ROW_RECIPES, Plan
from app.services.job_rows import JobRows, Reading
from app.services.progress import add_status
from app.services.runtime import Runtime


@dataclass(frozen=True)
class Part:
    """What is to be read: characters, or rows, of a text from a start to an end."""

    source: Source
    range: tuple[int, int | None]
    param: str


def status_of(runtime: Runtime, plan: Plan) -> str:
    """The state in which a job begins: `validating_files` where a large text of it was not read yet."""
    assert plan.tokenizer is not None, "with_tokenizer() came first"
    if plan.rows is not None:
        return rows.VALIDATING if plan.rows.size_bytes > FROM_BYTES else "queued"
    with runtime.database.read() as session:
        encoder = Encoder.of(session, plan.asked.tokenizer_name, plan.tokenizer)
    sources = [(share.source, "dataset") for share in plan.shares]
    held_out = None if plan.validation is None else plan.validation.source
    for part in _parts(runtime, encoder, sources, plan.fraction, held_out):
        known = known_count(runtime.storage, encoder, part.source.dataset, part.range, part.source.column)
        if part.source.dataset.size_bytes > FROM_BYTES and known is None:
            return rows.VALIDATING
    return "queued"


def validate(runtime: Runtime, job_id: str, fence: int) -> None:
    """Read the texts of the job held under `fence`; it is queued or failed afterwards, if it is still ours.

    Raises:
        Exception: something that is no fault of the job; another reader tries again.
    """
    with runtime.database.read() as session:
        row = job_table.get(session, job_id)
    if row is None:
        return
    try:
        _read(runtime, row)
    except AppError as error:
        _end(runtime, row, fence, error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _end(runtime, row, fence, NoDiskSpace("there is no room on the disk for its tokens", param="dataset"))
    else:
        _end(runtime, row, fence, None)


def _end(runtime: Runtime, job: JobRow, fence: int, error: AppError | None) -> None:
    with runtime.database.write() as session:
        row = rows.hold(session, job.id, fence)
        if row is None:
            return
        if error is None:
            rows.queue(row)
            add_status(session, row, "queued: its texts were read")
            runtime.nudger.after_commit(session, row.id)
            return
        told = {"code": error.code, "message": error.message, "param": error.param}
        job_table.finish(row, Ending("failed", told))
        add_status(session, row, f"failed: {error.message}", data={"error": told})


def _read(runtime: Runtime, row: JobRow) -> None:
    """Make the report of each text and encode it; of rows, have the recipe judge all of them.

    Raises:
        AppError: what is wrong with one, and in which line.
    """
    with runtime.database.read() as session:
        tokenizer = runtime.tokenizers.get(session, row.tokenizer, param="tokenizer")
        recipe = ROW_RECIPES.get(row.recipe)
        if recipe is not None:
            found, network = JobRows.of_job(session, row), networks.of_job(session, runtime, row)
            template = networks.chat_template_of(session, runtime, row)
        encoder = Encoder.of(session, row.tokenizer, tokenizer)
        sources = [(_source(session, entry, "dataset"), "dataset") for entry in row.datasets]
        held_out = _source(session, row.validation, "validation") if "dataset" in row.validation else None
    if recipe is not None:
        train, window = recipe.config(**row.train), network.context_length
        recipe.count(
            Reading(found, runtime.storage, tokenizer, network, train, window, is_whole=True, chat_template=template)
        )
        return
    for part in _parts(runtime, encoder, sources, row.validation.get("fraction") or 0.0, held_out):
        dataset, column = part.source.dataset, part.source.column
        try:
            ids_of(runtime.storage, encoder, dataset, *part.range, column=column)
        except (UnknownToken, UntokenizableText) as error:
            raise _in_its_line(runtime, encoder, part, error) from error
        dataset_report.report(runtime, dataset.id, ReportQuery(tokenizer=row.tokenizer))


def _parts(
    runtime: Runtime, encoder: Encoder, sources: list[tuple[Source, str]], fraction: float, held_out: Source | None
) -> Iterator[Part]:
    """The parts of the texts that the trainer will read, cut as `job_data` cuts them."""
    for source, param in sources:
        cut = kept_back_from(runtime.storage, source, fraction, encoder.tokenizer)
        yield Part(source, (0, cut), param)
        if cut is not None:
            yield Part(source, (cut, None), "validation")
    if held_out is not None:
        yield Part(held_out, (0, None), "validation")


def _source(session: Session, entry: dict[str, str], param: str) -> Source:
    return Source(datasets.read(session, entry["dataset"], param), entry.get("column"))


def _in_its_line(runtime: Runtime, encoder: Encoder, part: Part, error: Exception) -> UnknownWord:
    """The error with the first line in which it comes up."""
    dataset, column = part.source.dataset, part.source.column
    for unit in dataset_report.units(runtime.storage, dataset, one_in=1):
        text = unit.raw if unit.values is None else unit.values.get(column or "")
        lines = [str(text or "")] if unit.values is not None else str(text).split("\n")
        for number, line in enumerate(lines, start=unit.line):
            try:
                encoder.tokenizer.encode(line)
            except (UnknownToken, UntokenizableText) as found:
                return UnknownWord(f"{part.param}: {dataset.label}, line {number}: {found}", param=part.param)
    return UnknownWord(f"{part.param}: {dataset.label}: {error}", param=part.param)
