"""Documentation that a machine can hold true: every route, command, make target and error has its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from app.cli import cli
from app.config import Settings
from app.errors import AppError
from app.llm.config import PRESETS
from app.main import create_app

ROOT = Path(__file__).resolve().parents[1]


def documented(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def test_every_route_stands_in_the_api_page(settings: Settings) -> None:
    api = documented("api.md")
    missing = [
        f"{method} {path}"
        for path, operations in create_app(settings).openapi()["paths"].items()
        for method in (name.upper() for name in operations)
        if f"`{method} {path}`" not in api
    ]
    assert not missing


def test_every_route_of_the_api_page_is_there(settings: Settings) -> None:
    paths = create_app(settings).openapi()["paths"]
    claimed = re.findall(r"`(GET|POST|DELETE|PUT) (/\S*)`", documented("api.md"))
    assert claimed
    assert [c for c in claimed if c[1] not in paths or c[0].lower() not in paths[c[1]]] == []


def test_every_preset_is_named() -> None:
    assert [name for name in PRESETS if f"`{name}`" not in documented("api.md")] == []


def test_every_page_has_its_line(settings: Settings) -> None:
    api = documented("api.md")
    pages = [r.path for r in create_app(settings).routes if isinstance(r, APIRoute) and not r.include_in_schema]
    assert [path for path in pages if f"`{path}`" not in api] == []


def test_every_command_stands_in_the_readme_or_its_page() -> None:
    text = documented("commands.md")
    assert [c.name for c in cli.registered_commands if f"`inkling {c.name}" not in text] == []


def test_every_make_target_is_told() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / "README.md").read_text()
    assert [t for t in targets if f"make {t}" not in text] == []


def subclasses(of: type[AppError]) -> list[type[AppError]]:
    return [c for sub in of.__subclasses__() for c in (sub, *subclasses(sub))]


@pytest.mark.parametrize("error", subclasses(AppError), ids=lambda e: e.__name__)
def test_every_error_code_is_documented(error: type[AppError]) -> None:
    assert f"`{error.code}`" in documented("api.md")
