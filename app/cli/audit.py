"""`inkling audit`: who did what on a running server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from app.cli import show
from app.cli.call import Json, Url, _ask, _client


def audit(
    key: Annotated[str | None, typer.Option(help="What this key did, by its id.")] = None,
    address: Annotated[str | None, typer.Option(help="What was asked from this address.")] = None,
    action: Annotated[str | None, typer.Option(help="What was this, such as job.create.")] = None,
    resource: Annotated[str | None, typer.Option(help="What was done to this, by its id or name.")] = None,
    outcome: Annotated[str | None, typer.Option(help="What came to this: done, refused or failed.")] = None,
    after: Annotated[int | None, typer.Option(help="What was before the row with this id.")] = None,
    limit: Annotated[int, typer.Option(help="So many rows at most.")] = 50,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Show what was done and what was refused, newest first. Needs a key with the scope admin where keys are needed."""
    wanted = {"key": key, "address": address, "action": action, "resource": resource, "outcome": outcome}
    named = {name: value for name, value in wanted.items() if value is not None}
    paging = {"limit": limit} | ({} if after is None else {"after": after})
    with _client(url) as client:
        answer = _ask(client, "GET", "/audit", params=named | paging)
    if as_json:
        return show.as_json(answer)
    columns = ("id", "when", "key", "address", "action", "resource", "outcome", "code")
    found = [row | {"when": _when(row["created_at"]), "key": row["key_name"] or row["key"]} for row in answer["data"]]
    show.rows(columns, ([_shown(row[column]) for column in columns] for row in found))
    if answer["has_more"]:
        show.errors.print(f"more: --after {answer['data'][-1]['id']}", markup=False)


def _when(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _shown(value: object) -> str:
    return "" if value is None else str(value)
