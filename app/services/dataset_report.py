"""What is good to know of a dataset before a job: one pass over it, or over a sample where it is large; then kept."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple, cast

from app.db.tables.dataset import DatasetRow
from app.llm.data.columns import ROLES, Kind
from app.llm.data.paragraphs import LONGEST_PARAGRAPH, paragraphs
from app.llm.data.row_texts import RowReader
from app.llm.data.rows import row_of
from app.llm.data.survey import Lengths, Specials, Twins, fingerprint
from app.log import get_logger
from app.schemas.dataset import PreviewQuery
from app.schemas.dataset_report import DatasetReportOut, ReportQuery
from app.services import dataset_preview, datasets, encoding
from app.services.corpus import Encoder
from app.services.runtime import Runtime
from app.services.storage import Storage
from app.services.windows import forget_if_deleted

log = get_logger(__name__)

VERSION = 2
"""Of what is kept: a report that would read otherwise gets another number."""
MAX_BYTES = 16 * 1024 * 1024  # the caller waits while they are encoded
MAX_UNITS = 200_000
MAX_ERRORS = 100
MAX_LABELS = 100
MAX_LABEL_CHARACTERS = 200
MAX_EMPTY_LINES = 10
PREVIEW = PreviewQuery(characters=300, limit=5)


class Unit(NamedTuple):
    """A row, or a paragraph of a text (`values` is None)."""

    line: int
    raw: str
    values: dict[str, Any] | None
    mark: int  # its fingerprint


def report(runtime: Runtime, dataset_id: str, query: ReportQuery) -> bytes:
    """The report as JSON (a DatasetReportOut): as it is kept, or made now, which takes seconds.

    Raises:
        DatasetNotFound, TokenizerNotFound: `param` says which; of the dataset itself it is None.
        InvalidRequest, UnknownWord: the tokenizer cannot split the text.
        DataMissing: a file is gone.
    """
    with runtime.database.read() as session:  # given back before the long work
        row = datasets.read(session, dataset_id)
        other = None if query.validation is None else datasets.read(session, query.validation, "validation")
        name = query.tokenizer or runtime.settings.default_tokenizer
        encoder = Encoder.of(session, name, runtime.tokenizers.get(session, name))
    place = _place(runtime.storage, row, encoder, other, query)
    with suppress(FileNotFoundError):
        return place.read_bytes()
    with encoding.refused(None, "tokenizer"):
        made = _made(runtime.storage, row, other, encoder, name, query)
    content = made.model_dump_json().encode()
    _keep(runtime, row, place, content)
    return content


@dataclass
class _Seen:
    """What is counted on the way."""

    lengths: Lengths
    specials: Specials
    twins: Twins = field(default_factory=Twins)
    count: int = 0
    empty: int = 0
    empty_lines: list[int] = field(default_factory=list)
    wrong: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)


def _made(
    storage: Storage, row: DatasetRow, other: DatasetRow | None, encoder: Encoder, name: str, query: ReportQuery
) -> DatasetReportOut:
    one_in = _one_in(storage, row)
    seen = _Seen(Lengths(encoder.tokenizer, query.context_length), Specials(encoder.tokenizer.special_tokens))
    label = _label_column(row)
    types = {column["name"]: column["type"] for column in row.columns}
    reader = None if row.rows is None else RowReader.of(cast(Kind, row.kind), types)
    for unit in units(storage, row, one_in):
        _look(seen, unit, reader, label)
    return DatasetReportOut.model_validate(
        {
            "id": row.id,
            "kind": row.kind,
            "format": row.format,
            "rows": row.rows,
            "columns": row.columns,
            "looked_at": {
                "unit": "paragraph" if reader is None else "row",
                "count": seen.count,
                "sampled": one_in > 1,
                "one_in": one_in,
            },
            "errors": _errors(row, seen),
            "empty": {"count": seen.empty, "lines": seen.empty_lines},
            "duplicates": _twins(seen.twins, seen.count),
            "overlap": None if other is None else _overlap(storage, seen.twins, other, one_in),
            "lengths": _lengths(seen.lengths, name, seen.count),
            "special_tokens": seen.specials.found(),
            "classes": _classes(label, seen.labels),
            "preview": dataset_preview.preview(storage, row, PREVIEW),
        }
    )


def units(storage: Storage, row: DatasetRow, one_in: int) -> Iterator[Unit]:
    """The rows or paragraphs of a dataset; of a large one those that their fingerprint chooses, equal ones together."""
    return (unit for unit in _all_units(storage, row) if unit.mark % one_in == 0)


def _all_units(storage: Storage, row: DatasetRow) -> Iterator[Unit]:
    names = datasets.column_names(row)
    with datasets.opened(storage, row) as file:
        if row.rows is not None:
            for number, line in enumerate(file, start=1):
                if len(line) > 1:
                    values = row_of(line, names)
                    yield Unit(number, line.decode(), values, fingerprint(values))
            return
        with TextIOWrapper(file, encoding="utf-8-sig", newline="\n") as text:
            lines = iter(lambda: text.readline(LONGEST_PARAGRAPH), "")
            for number, content in paragraphs(lines):
                yield Unit(number, content, None, fingerprint(content))


def _one_in(storage: Storage, row: DatasetRow) -> int:
    """Of how many rows or paragraphs one is looked at: a power of two, so that small samples lie in larger ones."""
    count = row.report["lines"] // 2 if row.rows is None else row.rows
    needed = max(1, -(-datasets.kept_bytes(storage, row) // MAX_BYTES), -(-count // MAX_UNITS))
    return 1 << (needed - 1).bit_length()


def _look(seen: _Seen, unit: Unit, reader: RowReader | None, label: str | None) -> None:
    seen.count += 1
    seen.specials.add(unit.line, unit.raw)
    seen.twins.add(unit.line, unit.mark)
    if reader is None or unit.values is None:
        seen.lengths.add(unit.line, unit.raw)
        return
    if all(value is None or (isinstance(value, str) and not value.strip()) for value in unit.values.values()):
        seen.empty += 1
        if len(seen.empty_lines) < MAX_EMPTY_LINES:
            seen.empty_lines.append(unit.line)
    for name, reason in reader.wrong(unit.values):
        seen.wrong += 1
        if len(seen.errors) < MAX_ERRORS:
            seen.errors.append({"line": unit.line, "field": name, "reason": reason})
    if label is not None and unit.values.get(label) is not None:
        seen.labels[str(unit.values[label])[:MAX_LABEL_CHARACTERS]] += 1
    seen.lengths.add(unit.line, reader.read(unit.values))


def _label_column(row: DatasetRow) -> str | None:
    lower = {name.lower(): name for name in reversed(datasets.column_names(row))}
    return next((lower[name] for name in ROLES["labelled"]["label"] if name in lower), None)


def _errors(row: DatasetRow, seen: _Seen) -> dict[str, Any]:
    found = sorted([*row.report.get("errors", []), *seen.errors], key=lambda error: int(error["line"]))
    return {"count": row.report.get("bad_rows", 0) + seen.wrong, "data": found[:MAX_ERRORS]}


def _twins(twins: Twins, of: int) -> dict[str, Any]:
    return {
        "count": twins.count,
        "share": twins.count / of if of else 0.0,
        "data": [twin._asdict() for twin in twins.examples],
    }


def _overlap(storage: Storage, twins: Twins, other: DatasetRow, one_in: int) -> dict[str, Any]:
    """How much of `other` is among `twins`, which are of one in `one_in`; a sample of it where either is large."""
    sample = units(storage, other, max(one_in, _one_in(storage, other)))
    met, looked_at = twins.met_in((unit.line, unit.mark) for unit in sample)
    return _twins(met, looked_at) | {"dataset": other.id, "looked_at": looked_at}


def _lengths(lengths: Lengths, name: str, count: int) -> dict[str, Any]:
    total = lengths.total
    return {
        "tokenizer": name,
        "context_length": lengths.context_length,
        "tokens": total,
        "median": lengths.median,
        "longest": lengths.longest,
        "longest_line": lengths.longest_line,
        "too_long": lengths.too_long,
        "too_long_share": lengths.too_long / count if count else 0.0,
        "cut_tokens_share": lengths.cut_tokens / total if total else 0.0,
        "buckets": lengths.buckets(),
    }


def _classes(column: str | None, labels: Counter[str]) -> dict[str, Any] | None:
    if column is None:
        return None
    data = [{"label": label, "count": count} for label, count in labels.most_common(MAX_LABELS)]
    return {"column": column, "classes": len(labels), "data": data}


def _place(storage: Storage, row: DatasetRow, encoder: Encoder, other: DatasetRow | None, query: ReportQuery) -> Path:
    known = [VERSION, row.sha256, row.kind, encoder.fingerprint, query.tokenizer, query.context_length]
    known += [None, None] if other is None else [other.id, other.sha256]
    return storage.tokens(row.id) / f"report-{hashlib.sha256(json.dumps(known).encode()).hexdigest()}.json"


def _keep(runtime: Runtime, row: DatasetRow, place: Path, content: bytes) -> None:
    """Put the report where it is found again; not of a dataset that was deleted meanwhile.

    One that cannot be written is made again when it is asked for; the caller has it all the same.
    """
    aside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside.write_bytes(content)
        aside.replace(place)
    except OSError as error:
        log.warning("report_not_kept", dataset=row.id, error=str(error))
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    forget_if_deleted(runtime, row.id)
