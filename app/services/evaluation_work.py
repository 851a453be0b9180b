"""One attempt at an evaluation: what its kind works with, and the pen by which results are kept as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import job as job_table
from app.db.tables import result
from app.db.tables.job import JobRow
from app.db.tables.result import ResultRow
from app.llm.errors import TrainingStopped
from app.services import train_devices
from app.services.evaluation_rows import EvaluationRows, words_of
from app.services.job_rows import encoded
from app.services.progress import Progress
from app.services.runtime import Runtime

WRITTEN_EVERY_S = 0.5  # results of small models come by hundreds a second
TOLD_EVERY_S = 5.0
ROWS_AT_ONCE = 500


class Work:
    """What a kind of evaluation is given. Used by one thread."""

    def __init__(
        self, runtime: Runtime, job: JobRow, progress: Progress, should_stop: Callable[[], str | None]
    ) -> None:
        """For the job that `progress` holds.

        Raises:
            DatasetNotFound: its dataset was deleted.
            DeviceUnavailable: this worker does not have what it asks for.
        """
        assert job.evaluate is not None, "it is an evaluation"
        self.runtime, self.job, self.settings = runtime, job, job.evaluate
        self.models: list[str] = [job.model["name"], *job.evaluate["against"]]
        with runtime.database.read() as session:
            self.rows = EvaluationRows.of_job(session, job)
        self.device = train_devices.take(job, runtime.settings, here=1)
        self._progress, self._should_stop = progress, should_stop
        self._waiting: list[dict[str, Any]] = []
        self.place = 0
        self._what = ""
        self._step = self._total = 0
        self._written_at = self._told_at = time.monotonic()

    def check(self) -> None:
        """Write what is due, and go on only if that is wanted.

        Raises:
            TrainingStopped: the job is to be cancelled or paused, this process to end, or it is another's.
        """
        reason = self._should_stop()
        if reason is not None:
            if reason != "lost":
                self.flush()
            raise TrainingStopped(reason)
        if self._waiting and time.monotonic() - self._written_at >= WRITTEN_EVERY_S:
            self.flush()

    def check_words(self) -> None:
        """See that the models' tokenizers know all words; the first unknown one is told with its line.

        Raises:
            UnknownWord: one of them does not.
            TrainingStopped: as `check`.
        """
        with self.runtime.database.read() as session:
            names = [self.runtime.catalogue.info(session, name).tokenizer for name in self.models]
            words = words_of(session, self.runtime.tokenizers, names)
        for line, text in self.rows.texts(self.runtime.storage) if words else ():
            self.check()
            for tokenizer in words:
                encoded(tokenizer, line, text)

    def begin(self, what: str, place: int, *, done: int, total: int) -> None:
        """Tell what comes next, with the model at `place`; `done` of the job's `total` steps are."""
        self.flush()
        self._what, self.place, self._step, self._total = what, place, done, total
        self.tell()

    def done(self, place: int) -> set[int]:
        """Rows of which there are results with a model."""
        with self.runtime.database.read() as session:
            return result.done(session, self.job.id, place)

    def add(self, row: int, **found: Any) -> None:
        """Keep what came of a row with the present model; it is written within about half a second."""
        empty: dict[str, Any] = {"prompt": None, "reference": None, "answer": None, "figures": {}, "error": None}
        kept = empty | found | {"row": row, "model": self.models[self.place], "judgements": []}
        self._waiting.append(_stored(kept))
        self._step += 1
        self.check()

    def judged(self, row: int, **said: Any) -> None:
        """Keep what the judge said of the present model's answer: `score`, `verdict`, `judgements`."""
        self._step += 1
        with self._progress.writing() as session:
            result.judge(session, self.job.id, row, self.place, _stored(said))
            self._note(session)
        self.check()

    def results(self, place: int) -> Iterator[ResultRow]:
        """What was found with a model so far, in the order of rows."""
        self.flush()
        after = 0
        while True:
            with self.runtime.database.read() as session:
                found = result.of_model(session, self.job.id, place, after, ROWS_AT_ONCE)
            if not found:
                return
            yield from found
            after = found[-1].row

    def flush(self) -> None:
        """Write what was found and is not written yet."""
        with self._progress.writing() as session:
            result.store(session, self.job.id, self.place, self._waiting)
            if self._total:
                self._note(session)
        self._waiting = []
        self._written_at = time.monotonic()
        if self._written_at - self._told_at >= TOLD_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Record in an event how far it is."""
        self._told_at = time.monotonic()
        data = {"done": self._step, "total": self._total, "model": self.models[self.place]}
        self._progress.message(f"{self._what}: {self._step:,} of {self._total:,} done", data=data)

    def _note(self, session: Session) -> None:
        row = job_table.hold(session, self.job.id, self._progress.fence)
        assert row is not None, "writing() holds it"
        row.step, row.total_steps = self._step, self._total


def _stored(value: Any) -> Any:
    """`value` as every database can hold it: NUL, of which none can, is shown as U+FFFD."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
        case dict():
            return {name: _stored(each) for name, each in value.items()}
        case list() | tuple():
            return [_stored(each) for each in value]
    return value
