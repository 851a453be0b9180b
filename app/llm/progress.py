"""How far a long piece of work has come, told to whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` steps of a stage are done."""

    stage: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.stage}, {self.done} of {self.total}"


Tell = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Tell nobody."""


def counted(items: Iterable[T], total: int, stage: str, tell: Tell) -> Iterator[T]:
    """The items, each told of once it was dealt with."""
    tell(Progress(stage, 0, total))
    for done, item in enumerate(items, 1):
        yield item
        tell(Progress(stage, done, total))
