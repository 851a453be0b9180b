"""A dataset as text to learn language from: the text itself, or one column of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from app.db.tables.dataset import DatasetRow
from app.errors import InvalidRequest
from app.llm.data.columns import text_column
from app.llm.data.rows import row_of
from app.services import datasets
from app.services.storage import Storage

TEXT_TYPES = ("text", "mixed", "number")
SHOWN_COLUMNS = 20


@dataclass(frozen=True)
class Source:
    """A text, or (with a `column`) rows."""

    dataset: DatasetRow
    column: str | None = None

    @property
    def size(self) -> int:
        """Characters of a text, rows of rows: parts of it begin and end at such numbers."""
        return self.dataset.characters if self.column is None else (self.dataset.rows or 0)

    def texts(self, storage: Storage, start: int = 0, end: int | None = None) -> Iterator[str]:
        """Of rows `start` to `end`, the texts in the column; rows without one are passed over.

        Raises:
            DataMissing: the file is gone.
        """
        assert self.column is not None, "a text is read as a file"
        names = datasets.column_names(self.dataset)
        with datasets.opened(storage, self.dataset) as file:
            for line in islice((line for line in file if len(line) > 1), start, end):
                value = row_of(line, names).get(self.column)
                if value is not None and (text := value if isinstance(value, str) else str(value)).strip():
                    yield text

    def beginning(self, storage: Storage, part: tuple[int, int | None], characters: int) -> tuple[list[str], bool]:
        """Texts of a part, of about so many characters together, and whether that is all of the part.

        Raises:
            DataMissing: the file is gone.
        """
        start, end = part
        if self.column is None:
            length = (self.size if end is None else end) - start
            text = datasets.characters(storage, self.dataset, start, min(length, characters))
            return ([text], True) if length <= characters else ([_to_a_space(text)], False)
        found: list[str] = []
        size = 0
        for text in self.texts(storage, start, end):
            if size >= characters:
                return found, False
            found.append(text if len(text) <= characters else _to_a_space(text[:characters]))
            size += len(text)
        return found, True


def _to_a_space(text: str) -> str:
    """What was cut off somewhere, without its last piece: half a word may be one that no tokenizer knows."""
    end = max(text.rfind(" "), text.rfind("\n"))
    return text[:end] if end > 0 else text


def source_of(dataset: DatasetRow, column: str | None, param: str, column_param: str | None = None) -> Source:
    """The dataset to learn language from; of rows by the column named, or the one that is plainly the text.

    Args:
        param: the field of the request that named the dataset.
        column_param: the one that named the column; omitted: `column` within the other.

    Raises:
        InvalidRequest: it is a text and a column was named, there is no such column of texts, or none is named and
            none plain.
    """
    of_column = column_param or f"{param}.column"
    if dataset.rows is None:
        if column is not None:
            raise InvalidRequest(f"{of_column}: {dataset.label} is a text, without columns", param=of_column)
        return Source(dataset)
    types = {known["name"]: known["type"] for known in dataset.columns}
    shown = ", ".join([name for name, kind in types.items() if kind in TEXT_TYPES][:SHOWN_COLUMNS]) or "none"
    if column is None:
        column = text_column(types)
        if column is None:
            form = "{dataset, column}" if param == "validation" else "[{dataset, column}]"  # of which there is one
            told = f"{dataset.label} is rows; say which column to learn from, as in {form}: {shown}"
            raise InvalidRequest(f"{param}: {told}", param=param)
    elif types.get(column) not in TEXT_TYPES:
        told = f"{dataset.label} has no column {column[:100]!r} of texts; there are: {shown}"
        raise InvalidRequest(f"{of_column}: {told}", param=of_column)
    return Source(dataset, column)
