"""Sessions: signed, for twelve hours, with a secret that servers share and a page's token that follows from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import itsdangerous.timed
import pytest

from app.errors import NotReady
from app.services import sessions
from app.services.sessions import Sessions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session-secret"


def test_a_session_tells_whose_it_is_to_every_server(path: Path) -> None:
    signed = Sessions(path).begin("key_1")
    read = Sessions(path).read(signed)
    assert read is not None
    assert read.key_id == "key_1"
    assert read == Sessions(path).read(signed)
    assert "key_1" not in read.csrf
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_session_has_a_token_of_its_own(path: Path) -> None:
    ours = Sessions(path)
    tokens = {found.csrf for found in (ours.read(ours.begin("key_1")) for _ in range(3)) if found}
    assert len(tokens) == 3


def test_what_is_not_ours_is_none(path: Path, tmp_path: Path) -> None:
    ours, signed = Sessions(path), Sessions(path).begin("key_1")
    body, stamp, signature = signed.split(".")
    forged = Sessions(tmp_path / "another").begin("key_1")
    for wrong in (
        "",
        ".",
        "..",
        signed[:-1],
        f"{body}.{stamp}",
        f"x{signed}",
        f"{body}.{stamp}.{signature[::-1]}",
        forged,
        "é" * 10,
        "\ud800",
        signed + "x" * 100_000,
    ):
        assert ours.read(wrong) is None


def test_a_session_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, signed = Sessions(path), Sessions(path).begin("key_1")
    now = itsdangerous.timed.time.time()
    for later, is_there in ((sessions.LIFETIME_S - 5, True), (sessions.LIFETIME_S + 5, False)):
        monkeypatch.setattr(itsdangerous.timed.time, "time", lambda later=later: now + later)
        assert (ours.read(signed) is not None) == is_there


def test_servers_that_begin_together_share_one_secret(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        signed = list(pool.map(lambda _: Sessions(path).begin("key_1"), range(8)))
    assert all(Sessions(path).read(one) for one in signed)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_secret_signs_nothing(path: Path) -> None:
    """An empty file would have been a secret that everybody knows."""
    path.write_bytes(b"")
    with pytest.raises(NotReady, match="session-secret"):
        Sessions(path).begin("key_1")
