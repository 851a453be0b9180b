"""`inkling doctor` as the shell calls it: lines for people, JSON for machines, and the exit status."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from app.services import doctor
from app.services.doctor import Check
from tests.cli.conftest import Command


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, assets: Path) -> Path:
    """A data directory of a machine where nothing is a problem, whoever has the default port."""
    monkeypatch.setattr(doctor, "CHECKS", tuple(one for one in doctor.CHECKS if one is not doctor.check_port))
    assert assets == Path(sys.prefix) / "share" / "inkling"  # where the settings look
    return tmp_path / "data"


def test_all_is_well(inkling: Command, healthy: Path) -> None:
    done = inkling("doctor")
    assert done.status == 0, done
    assert "Inkling can run here" in done.out
    assert not healthy.exists()


def test_a_problem_is_exit_status_1_and_says_how_to_mend_it(
    inkling: Command, healthy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INKLING_DATABASE_URL", "nonsense")
    done = inkling("doctor")
    assert done.status == 1
    assert "problem database  INKLING_DATABASE_URL cannot be used" in done.out
    assert "-> correct INKLING_DATABASE_URL, or start the database" in done.out
    assert "cannot do its work" in done.out


def test_warnings_do_not_fail(inkling: Command, healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("INKLING_TEST")]:
        monkeypatch.delenv(name)  # of the test run's own
    monkeypatch.setenv("INKLING_PROT", "1")
    done = inkling("doctor", "--json")
    assert done.status == 0
    answer = json.loads(done.out)
    assert answer["healthy"] is True
    assert answer["checks"][0] == {
        "name": "settings",
        "status": "warning",
        "told": "unknown, without effect: INKLING_PROT (is INKLING_PORT meant?)",
        "mend": "correct or remove; see docs/settings.md",
    }


def test_a_folder_that_cannot_be_written(
    inkling: Command, healthy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INKLING_DATA_DIR", str(tmp_path / "file" / "data"))
    done = inkling("doctor", "--json")
    assert done.status == 1
    problems = [one["name"] for one in json.loads(done.out)["checks"] if one["status"] == "problem"]
    assert "data" in problems


def test_a_setting_that_cannot_be_read(inkling: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKLING_PORT", "many")
    done = inkling("doctor", "--json")
    assert done.status == 1
    (check,) = json.loads(done.out)["checks"]
    assert (check["name"], check["status"]) == ("settings", "problem")
    assert "INKLING_PORT is 'many'" in check["told"]


def test_brackets_are_shown_as_they_are(inkling: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (lambda _: Check("port", "ok", "[::1] port 8000 [red] is free"),))
    assert "[::1] port 8000 [red] is free" in inkling("doctor").out
