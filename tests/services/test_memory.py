"""The memory that a process may take, in a container and outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.services import memory


@pytest.mark.parametrize(("told", "usable"), [("max", None), ("1000000", 1_000_000), (None, None), ("9" * 19, None)])
def test_a_containers_limit_counts_where_it_is_the_lower_one(
    told: str | None, usable: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    if told is not None:
        limit.write_text(f"{told}\n")
    monkeypatch.setattr(memory, "CGROUP_LIMITS", (limit, tmp_path / "none"))
    assert memory.usable_bytes() == (usable or memory.machine_bytes())
