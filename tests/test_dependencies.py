"""The pinned versions: none older than the one that mended a fault known from it (docs/security.md)."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def pinned() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_no_pin_is_older_than_what_mended_a_known_fault() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    table = page.split("| package | at least |")[1].split("\n\n")[0]
    asked = dict(re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \|", table, re.MULTILINE))
    assert len(asked) > 10
    pins = pinned()
    assert [name for name, least in asked.items() if pins[canonicalize_name(name)] < Version(least)] == []


def test_packages_that_carried_malware_are_not_pinned() -> None:
    assert not {"litellm", "lightning"} & set(pinned())
