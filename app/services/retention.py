"""Which of a job's checkpoints stay: the newest ones, and the best. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable

from app.db.tables.checkpoint import CheckpointRow


def best(rows: Iterable[CheckpointRow]) -> CheckpointRow | None:
    """The row with the lowest validation loss, the newest of several; None where none was measured."""
    judged = [row for row in rows if row.metrics.get("val_loss") is not None]
    return min(judged, key=lambda row: (row.metrics["val_loss"], -row.step), default=None)


def kept(rows: list[CheckpointRow], keep: int, keep_best: bool = True) -> set[str]:
    """Ids of the `keep` newest rows, and of the best one where that is to stay."""
    newest = sorted(rows, key=lambda row: row.step, reverse=True)[:keep]
    chosen = best(rows) if keep_best else None
    return {row.id for row in newest} | ({chosen.id} if chosen is not None else set())
