"""`inkling keys` on a database of its own, and the key that the other commands send."""

from __future__ import annotations

import json

import pytest
from fastapi import FastAPI, Request

from tests.cli.conftest import Command
from tests.serving import served


def test_a_key_is_made_listed_and_revoked(inkling: Command) -> None:
    made = inkling("keys", "create", "ci", "--scope", "read", "--scope", "generate")
    secret = made.out.strip()
    assert secret.startswith("inkling_")
    assert "shown this once" in made.err
    (row,) = json.loads(inkling("keys", "list", "--json").out)["data"]
    assert (row["name"], row["scopes"], row["revoked_at"]) == ("ci", ["read", "generate"], None)
    assert secret[:16] in inkling("keys", "list").out
    assert secret not in inkling("keys", "list").out + inkling("keys", "list", "--json").out
    assert inkling("keys", "revoke", "ci").out == f"revoked {row['id']} (ci)\n"
    assert json.loads(inkling("keys", "list", "--json").out)["data"][0]["revoked_at"] > 0


def test_its_json_has_the_key_and_the_usual_scopes(inkling: Command) -> None:
    told = json.loads(inkling("keys", "create", "me", "--json").out)
    assert told["key"].startswith(told["prefix"] + "_")
    assert told["scopes"] == ["read", "generate", "train"]


def test_refusals_are_one_line(inkling: Command) -> None:
    assert "none of read, generate" in inkling("keys", "create", "ci", "--scope", "root").refusal
    assert "name" in inkling("keys", "create", "../ci").refusal
    assert "nobody" in inkling("keys", "revoke", "nobody").refusal
    assert inkling("keys", "create", "ci").status == 0
    assert "another name" in inkling("keys", "create", "ci").refusal


def test_commands_send_the_key_of_the_settings(inkling: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str | None] = []
    app = FastAPI()

    @app.get("/tokenizers")
    async def tokenizers(request: Request) -> dict[str, object]:
        sent.append(request.headers.get("authorization"))
        return {"object": "list", "data": [], "has_more": False}

    with served(app) as port:
        url = f"http://127.0.0.1:{port}"
        assert inkling("tokenizers", "--url", url).status == 0
        monkeypatch.setenv("INKLING_API_KEY", "inkling_mine")
        assert inkling("tokenizers", "--url", url).status == 0
    assert sent == [None, "Bearer inkling_mine"]


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    inkling: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INKLING_API_KEY", "mine and\nanother's")
    refusal = inkling("tokenizers").refusal
    assert "INKLING_API_KEY" in refusal
    assert "another" not in refusal
