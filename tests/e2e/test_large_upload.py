"""A text larger than the server may grow: it goes through to a model, and the server stays as small as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.upload import BOUND, MB, follow, make_text
from tests.e2e.conftest import start_service

pytestmark = pytest.mark.e2e

SIZE = 120 * MB  # were it held whole, the bound would be passed


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_server_needs_no_memory_for_a_large_text(tmp_path: Path, assets: Path) -> None:
    make_text(tmp_path / "text", SIZE)
    service = start_service(tmp_path, max_upload_bytes=str(2 * SIZE))
    try:
        found = follow(service.url, service.process.pid, tmp_path / "text")
    finally:
        service.stop()
    assert found.above_idle <= BOUND, (found.peaks, found.idle)
    told = "\n".join(found.told)
    assert "sample" in told
    assert "training" in told
