"""Documentation that a machine can hold true: every route, command, make target and error has its line."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

import app.api.pages
from app.api.pages.lessons import CHAPTERS
from app.cli import cli
from app.config import Settings
from app.db.tables.stock import Stock
from app.errors import AppError
from app.llm.config import PRESETS
from app.main import create_app
from app.schemas import openai
from app.services.inventory import Held, Inventory
from app.services.metrics import Metrics
from bench.all_pages import PAGES
from bench.pictures import SCHEMES, SIZES

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
    claimed = re.findall(r"`(GET|POST|DELETE|PUT|PATCH) (/\S*)`", documented("api.md"))
    assert claimed
    assert [c for c in claimed if c[1] not in paths or c[0].lower() not in paths[c[1]]] == []


def test_every_preset_is_named() -> None:
    assert [name for name in PRESETS if f"`{name}`" not in documented("api.md")] == []


def pages(*methods: str) -> list[str]:
    """Paths of all HTML pages, as their modules declare them: the app holds routers, not the routes in them."""
    modules = [import_module(f"app.api.pages.{module.name}") for module in iter_modules(app.api.pages.__path__)]
    routers = [module.router for module in modules if hasattr(module, "router")]
    found = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    assert found
    return [route.path for route in found if route.methods.issuperset(methods)]


def test_every_page_has_its_line() -> None:
    api = documented("api.md")
    assert [path for path in pages() if f"`{path}`" not in api] == []


def test_every_page_is_looked_at(settings: Settings) -> None:
    """Whatever shows a page is among those that the test of accessibility goes through."""
    others = set(pages("GET")) - {seen.route for seen in PAGES}
    assert others
    with TestClient(create_app(settings), follow_redirects=False) as client:
        found = {path: client.get(path.format(chapter=1, step=CHAPTERS[0].steps[0].id)) for path in others}
    assert [path for path, answer in found.items() if not answer.is_redirect] == []


def test_the_readme_holds_no_place_for_a_number_that_is_to_come() -> None:
    assert re.findall(r"\| [A-Z_]{4,} \|", (ROOT / "README.md").read_text()) == []


def test_every_command_stands_in_the_readme_or_its_page() -> None:
    text = documented("commands.md")
    commands = [*cli.registered_commands, *cli.registered_groups]
    assert [c.name for c in commands if f"`inkling {c.name}" not in text] == []


def places_of_the_lifecycle(pattern: str) -> set[str]:
    """What of a kind docs/lifecycle.md names; never nothing, so that a changed form of the page is noticed."""
    found = set(re.findall(pattern, documented("lifecycle.md")))
    assert found
    return found


def test_every_file_of_the_lifecycle_is_there() -> None:
    assert [path for path in places_of_the_lifecycle(r"`((?:app|tests)/[^`]*)`") if not (ROOT / path).exists()] == []


def test_every_route_of_the_lifecycle_is_there(settings: Settings) -> None:
    paths = create_app(settings).openapi()["paths"]
    there = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    assert places_of_the_lifecycle(r"`((?:GET|POST|PUT|DELETE) /[^`]*)`") - there == set()


def test_every_page_of_the_lifecycle_is_there() -> None:
    assert places_of_the_lifecycle(r"`(/[^`]*)`") - set(pages()) == set()


def test_every_command_of_the_lifecycle_is_there() -> None:
    there = {command.name for command in (*cli.registered_commands, *cli.registered_groups)}
    assert places_of_the_lifecycle(r"`inkling ([a-z0-9]+)`") - there == set()


def test_the_lifecycle_goes_through_the_book() -> None:
    """Every chapter and the appendices with code, each with a table; every lesson has its row."""
    parts = documented("lifecycle.md").split("\n## ")[1:]
    assert [part.split(":")[0] for part in parts] == [f"Chapter {n}" for n in range(1, 8)] + [
        f"Appendix {letter}" for letter in "ADE"
    ]
    assert all("| idea | file | endpoint | page or command |" in part for part in parts)
    lessons = {path.name for path in (ROOT / "app/llm/lessons").glob("[a-z]*.py")}
    assert {name for name in lessons if f"`app/llm/lessons/{name}`" not in documented("lifecycle.md")} == set()


def test_every_make_target_is_told() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / "README.md").read_text()
    assert [t for t in targets if f"make {t}" not in text] == []


def test_the_limits_of_openais_routes_are_told() -> None:
    page = documented("openai.md")
    assert f"`best_of` (up to {openai.MAX_BEST_OF})" in page
    assert f"`logit_bias` (up to {openai.MAX_BIASES:,} ids)" in page
    assert f"more than {openai.MAX_SCHEMA_CHARACTERS:,} characters" in page


def test_what_a_kind_of_tokenizer_needs_is_told(settings: Settings) -> None:
    for kind, field in (("word", "version"), ("bpe", "vocab_size")):
        new = {"name": "new", "kind": kind, "dataset": "the-tide-clock"}
        with TestClient(create_app(settings)) as client:
            error = client.post("/tokenizers", json=new).json()["error"]
        assert (error["code"], error["param"]) == ("missing_field", field)
        assert f"| `{field}` | `{kind}` | required: " in documented("api.md")


def test_every_series_of_the_metrics_is_told() -> None:
    metrics = Metrics()
    metrics.watch("m")
    everything = Inventory(Held({}, 0.0, 0, {"models": Stock(0, 0)}), 0, 0)
    told = metrics.written({}, everything)
    families = re.findall(r"^# TYPE (inkling_\S+)", told.decode(), re.MULTILINE)
    page = documented("metrics.md")
    created = {name for name in families if name.endswith("_created")}
    assert created
    assert "`_created`" in page
    assert [name for name in families if name not in created and f"`{name}`" not in page] == []


def subclasses(of: type[AppError]) -> list[type[AppError]]:
    return [c for sub in of.__subclasses__() for c in (sub, *subclasses(sub))]


@pytest.mark.parametrize("error", subclasses(AppError), ids=lambda e: e.__name__)
def test_every_error_code_is_documented(error: type[AppError]) -> None:
    assert f"`{error.code}`" in documented("api.md")


def test_the_openapi_document_knows_the_one_error_shape(settings: Settings) -> None:
    """Its references used to lead nowhere, and 422 showed the framework's own shape."""
    document = create_app(settings).openapi()
    schemas = document["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document))) <= set(schemas)
    assert "HTTPValidationError" not in schemas
    assert set(schemas["ErrorDetail"]["properties"]) == {"message", "type", "param", "code"}


def test_every_test_and_file_of_the_security_page_is_there() -> None:
    named = set(re.findall(r"`((?:app|tests)/[^`]*)`", documented("security.md")))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_page_has_its_pictures() -> None:
    """And no page that is gone has any: `make pictures` draws them anew."""
    wanted = {f"{page.name}-{scheme}-{width}.webp" for page in PAGES for scheme in SCHEMES for width in SIZES}
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} == wanted
