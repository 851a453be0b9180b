"""Chapter 6's rows with labels, as the book prepares them: balanced, mixed, cut in three, padded. Knows no HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.errors import InvalidRequest, TooLarge
from app.llm.errors import BadExample
from app.llm.tokenizer.base import Tokenizer
from app.schemas.lessons import LabelCountOut, LabelledIn, LabelledOut, PartOut
from app.services import datasets
from app.services.classify_checks import check_classes, label_and_text
from app.services.job_rows import JobRows
from app.services.runtime import Runtime

if TYPE_CHECKING:  # torch takes a second to import
    from app.llm.data.labelled import Labelled

MAX_ROWS = 20_000
"""That are encoded while the caller waits."""


def prepared(runtime: Runtime, body: LabelledIn) -> LabelledOut:
    """What becomes of a dataset's rows before a classifier learns from them. Nothing is kept.

    Raises:
        DatasetNotFound, DataMissing: as `datasets.read` and `Tokenizers.get`.
        InvalidRequest: it has no such columns, a row cannot be used, there is one class only, shares are too large.
        TooLarge: there are more than `MAX_ROWS` rows.
    """
    from app.llm.data.examples import cut
    from app.llm.data.labelled import Labelled, balanced, shuffled

    if body.train + body.validation >= 1:
        raise InvalidRequest("validation: with `train` nothing is left for the test", param="validation")
    with runtime.database.read() as session:
        row = datasets.read(session, body.dataset, param="dataset")
        tokenizer = runtime.tokenizers.get(session, "gpt2")
    columns = {"text": body.text, "label": body.label}
    rows = JobRows((row,), None, columns, 0.0, 0.0)
    rows.check()
    if (row.rows or 0) > MAX_ROWS:
        raise TooLarge(f"dataset: {row.rows:,} rows are more than the {MAX_ROWS:,} that are read here", param="dataset")
    found = [Labelled(*label_and_text(line, columns)) for line in rows.lines(runtime.storage, "dataset")]
    check_classes(Counter(one.label for one in found), columns)
    kept = [found[number] for number in balanced(found, body.seed)] if body.balanced else found
    parts = cut(shuffled(kept, body.seed), body.train, body.validation)
    train, validation, test = (
        _part(part, tokenizer, body.batch_size, drop_last=number == 0) for number, part in enumerate(parts)
    )
    return LabelledOut(
        rows=len(found), labels=_counted(found), kept=len(kept), train=train, validation=validation, test=test
    )


def _part(rows: Sequence[Labelled], tokenizer: Tokenizer, batch_size: int, *, drop_last: bool) -> PartOut:
    from app.llm.data.labelled import class_names, encode_labelled, longest

    try:
        encoded = encode_labelled(rows, tokenizer, class_names(rows))
    except BadExample as error:
        raise InvalidRequest(f"dataset: {error.reason}", param="dataset") from error
    batches = len(rows) // batch_size if drop_last else -(-len(rows) // batch_size)
    return PartOut(rows=len(rows), labels=_counted(rows), longest=longest(encoded), batches=batches)


def _counted(rows: Sequence[Labelled]) -> list[LabelCountOut]:
    labels = Counter(row.label for row in rows)
    return [LabelCountOut(label=label, rows=labels[label]) for label in sorted(labels)]
