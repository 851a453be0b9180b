"""Writes what a long run measured into docs/proofs.md: a section a proof, the one it had before replaced."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "proofs.md"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Markdown; floats with three decimals."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(head), ["---"] * len(head), *cells])


class Proof:
    """Made when a run begins: the commit is the one that it started from."""

    def __init__(self) -> None:
        asked = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        self._commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        self._started = time.monotonic()

    def record(self, name: str, what: str, *paragraphs: str) -> None:
        """Set the section `name` of docs/proofs.md, with date, commit, torch's version and the minutes it took."""
        minutes = (time.monotonic() - self._started) / 60
        where = f"torch {torch.__version__}, threads: {torch.get_num_threads()}"
        said = (
            f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit {self._commit} in {minutes:.0f} min ({where})."
        )
        section = "\n\n".join([f"## {name}", what, said, *paragraphs]) + "\n"
        page = PAGE.read_text()
        before = re.search(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        if before is None:
            PAGE.write_text(f"{page.rstrip()}\n\n{section}")
        else:
            rest = page[before.end() :]
            PAGE.write_text(page[: before.start()] + section + ("\n" + rest if rest else ""))
