"""Building: once, whole or not at all, and a plain reason where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.llm.kernels import build


def test_a_machine_without_a_compiler_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.NoKernels, match="no C\\+\\+ compiler"):
        build.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "g++"
    failing.write_text("#!/bin/sh\necho no such machine >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(build.NoKernels, match="no such machine"):
        build.build(tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []


def test_what_is_there_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = build.compiled_path(tmp_path)
    library.touch()
    monkeypatch.setenv("PATH", "")
    assert build.build(tmp_path) == library


def test_a_file_that_is_no_library_is_told(tmp_path: Path) -> None:
    build.compiled_path(tmp_path).write_bytes(b"nothing")
    with pytest.raises(build.NoKernels, match="cannot be loaded"):
        build.load(tmp_path)


def test_other_sources_or_another_processor_make_another_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = build.compiled_path(tmp_path)
    monkeypatch.setattr(build, "_processor", lambda: "another")
    assert build.compiled_path(tmp_path) != here
