"""`inkling doctor`: what is missing on this machine, what that means, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from app.cli import show
from app.cli.call import Json
from app.config import BadSetting, get_settings

if TYPE_CHECKING:
    from app.services.check import Check

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(as_json: Json = False) -> None:
    """Look for what is missing. Exit status 1 if anything keeps the service from its work."""
    from app.services.check import Check
    from app.services.doctor import examine  # late: other commands start without what it asks

    try:
        checks = examine(get_settings())
    except BadSetting as error:  # nothing else can be looked at
        checks = [Check("settings", "problem", str(error), "correct it; see docs/settings.md")]
    healthy = all(check.status != "problem" for check in checks)
    if as_json:
        show.as_json({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    else:
        _tell(checks, healthy)
    if not healthy:
        raise typer.Exit(1)


def _tell(checks: list[Check], healthy: bool) -> None:
    for check in checks:
        show.output.print(f"{check.status:8}", style=COLOURS[check.status], end="")
        show.output.print(f"{check.name:9} {check.told}", markup=False)
        if check.mend:
            show.output.print(f"{'':18}-> {check.mend}", markup=False)
    told = "Inkling can run here" if healthy else "Inkling cannot do its work here"
    warnings = sum(check.status == "warning" for check in checks)
    show.output.print(f"{told}; warnings: {warnings}" if warnings else told)
