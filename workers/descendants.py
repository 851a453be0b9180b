"""Who started whom, by Linux's /proc; on other systems nobody is found."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


def started_by(pid: int) -> list[int]:
    """The processes that `pid` started, and those that they started, and so on."""
    parents: dict[int, int] = {}
    for folder in PROC.iterdir() if PROC.exists() else ():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int(stat(int(folder.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def stat(pid: int) -> list[str]:
    """State, parent and so on: what comes after the name, which may hold anything.

    Raises:
        FileNotFoundError, ProcessLookupError: there is no such process.
    """
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
