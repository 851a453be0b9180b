"""What is asked of processes in tests, by Linux's /proc."""

from __future__ import annotations

from pathlib import Path

from workers.descendants import started_by, stat

__all__ = ["command", "is_alive", "started_by"]


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not waited for does not."""
    try:
        return stat(pid)[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()


def running(words: str) -> list[int]:
    """The processes whose command holds `words`, the oldest first."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if words in command(int(folder.name)) and is_alive(int(folder.name)):
                    found.append(int(folder.name))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
    return sorted(found)
