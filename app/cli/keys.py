"""`inkling keys`: make, list and revoke keys, in the database that the settings name; no server is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import show
from app.cli.call import Json
from app.cli.local import _data
from app.config import get_settings
from app.services import keys as service

if TYPE_CHECKING:
    from app.db.tables.api_key import ApiKeyRow

cli = typer.Typer(help="Keys that may call the service: create, list, revoke.", no_args_is_help=True)


@cli.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, generate, train, metrics or admin; repeatable. Without any: the first three."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once."""
    with _data(get_settings()) as (database, _), database.write() as session:
        made = service.create(session, name, scope or service.USUAL_SCOPES)
        session.refresh(made.row)
        told = _told(made.row) | {"key": made.secret}
    if as_json:
        return show.as_json(told)
    show.errors.print(f"{told['id']}, {', '.join(told['scopes'])}; the key is shown this once:", markup=False)
    show.text(f"{made.secret}\n")


@cli.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys, the revoked ones too, without their secrets."""
    with _data(get_settings()) as (database, _), database.read() as session:
        found = [_told(row) for row in service.list_all(session)]
    if as_json:
        return show.as_json({"object": "list", "data": found, "has_more": False})
    shown = [row | {"scopes": " ".join(row["scopes"])} | {at: _date(row[at]) for at in TIMES} for row in found]
    columns = ("id", "name", "prefix", "scopes", *TIMES)
    show.rows(columns, ([row[column] for column in columns] for row in shown))


@cli.command("revoke")
def revoke(key: Annotated[str, typer.Argument(help="Its id, its name, or how it begins (list shows it).")]) -> None:
    """End a key for good. Servers that run notice within five seconds."""
    with _data(get_settings()) as (database, _), database.write() as session:
        row = service.revoke(session, key)
    show.output.print(f"revoked {row.id} ({row.name})", markup=False)


TIMES = ("created_at", "last_used_at", "revoked_at")


def _told(row: ApiKeyRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("id", "name", "prefix", "scopes", *TIMES)}


def _date(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
