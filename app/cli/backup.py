"""`inkling backup` and `inkling restore`: all that a service holds, copied aside and put back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import show
from app.config import get_settings

if TYPE_CHECKING:
    from app.services.backup import Backup

New = Annotated[Path, typer.Argument(help="A folder that is not there yet.")]
Made = Annotated[Path, typer.Argument(help="A folder that `inkling backup` made.")]


def backup(to: New) -> None:
    """Copy the database and all files of this machine's service into a folder, while it runs."""
    from app.services import backup as service  # late: other commands start without it

    show.output.print(f"{to}: {_told(service.back_up(get_settings(), to))}", markup=False)


def restore(source: Made) -> None:
    """Put a backup into an empty database and data directory; start the service afterwards."""
    from app.services import backup as service

    show.output.print(f"put back: {_told(service.restore(get_settings(), source))}", markup=False)


def _told(about: Backup) -> str:
    return f"{about.database} and {about.files} files, {about.size_bytes:,} bytes"
