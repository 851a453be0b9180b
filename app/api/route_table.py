"""What is known of routes by their lines, such as `POST /jobs/{job_id}/cancel`, asked before the router has run."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Generic, TypeVar

from starlette.routing import compile_path

T = TypeVar("T")


class RouteTable(Generic[T]):
    """One value for each line. Lines with places are tried in the order given, those of other beginnings not at all."""

    def __init__(self, lines: Iterable[tuple[str, T]]) -> None:
        self._exact: dict[str, T] = {}
        self._templates: defaultdict[str, list[tuple[re.Pattern[str], T]]] = defaultdict(list)
        for line, value in lines:
            method, _, path = line.partition(" ")
            if "{" in path:
                pattern = compile_path(path)[0].pattern.removeprefix("^")
                self._templates[_beginning(method, path)].append((re.compile(pattern), value))
            else:
                self._exact[line] = value

    def find(self, method: str, path: str) -> tuple[T, list[str]] | None:
        """The value of a request's line, and what stands in its places, in their order."""
        line = f"{method} {path}"
        if line in self._exact:
            return self._exact[line], []
        for pattern, value in self._templates.get(_beginning(method, path), ()):
            if (found := pattern.match(path)) is not None:
                return value, list(found.groups())
        return None


def _beginning(method: str, path: str) -> str:
    """The method and the first part of the path, which is no place."""
    return f"{method} {path[1:].partition('/')[0]}"
