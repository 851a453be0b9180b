"""Saved models and checkpoints: the same bits come back, and what is not whole is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.llm.checkpoint import (
    ModelMeta,
    copy_model,
    load_checkpoint,
    load_model,
    publish,
    save_checkpoint,
    save_model,
)
from app.llm.config import PRESETS, ModelConfig, Word2VecConfig
from app.llm.errors import BadCheckpoint
from app.llm.model.transformer import Transformer
from app.llm.model.word_vectors import WordVectors
from app.llm.train.loop import Report, TrainState

CONFIG = ModelConfig(vocab_size=11, context_length=8, emb_dim=8, n_heads=2, n_layers=2, tied=True)
META = ModelMeta(CONFIG, "gpt2", eos_id=3, chat_template="{{ messages }}", base_model="a-base", licence="apache-2.0")


def tiny(config: ModelConfig = CONFIG) -> Transformer:
    torch.manual_seed(0)
    return Transformer(config)


def state() -> TrainState:
    report = Report(step=7, total_steps=9, loss=0.1 + 0.2, val_loss=None, learning_rate=1e-3, tokens=70)
    optimizer = {"final_norm.scale.exp_avg": torch.randn(8), "final_norm.scale.step": torch.tensor(7.0)}
    return TrainState(report, optimizer, {"cpu": torch.get_rng_state()})


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole checkpoint."""
    save_checkpoint(tmp_path / "step-7", tiny(), META, state())
    return tmp_path / "step-7"


@pytest.mark.parametrize("preset", ["gpt-tiny", "llama-tiny"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, preset, tied):
    config = ModelConfig(vocab_size=13, **{**PRESETS[preset], "tied": tied})
    model = tiny(config)
    save_model(tmp_path / "m", model, ModelMeta(config, "gpt2"))
    again, meta = load_model(tmp_path / "m")
    assert meta == ModelMeta(config, "gpt2")
    assert equal(dict(again.named_parameters()), dict(model.named_parameters()))
    assert not again.training
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(again(ids), model.eval()(ids))
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_word_vectors_come_back_bit_for_bit(tmp_path: Path):
    config = Word2VecConfig(13, emb_dim=5)
    model = WordVectors(config)
    saved = save_checkpoint(tmp_path / "c", model, ModelMeta(config, "words"), state())
    again, meta, _ = load_checkpoint(tmp_path / "c", saved.sha256)
    assert isinstance(again, WordVectors)
    assert meta == ModelMeta(config, "words")
    assert equal(dict(again.named_parameters()), dict(model.named_parameters()))
    assert json.loads((tmp_path / "c/model.json").read_text())["family"] == "word2vec"


def test_a_folder_that_says_no_family_is_of_the_first_kind(folder: Path):
    """Written before there were others."""
    about = json.loads((folder / "model.json").read_text())
    del about["family"]
    (folder / "model.json").write_text(json.dumps(about))
    reseal(folder, "model.json")
    assert load_model(folder)[1] == META


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path):
    model, before = tiny(), state()
    saved = save_checkpoint(tmp_path / "c", model, META, before)
    again, meta, after = load_checkpoint(tmp_path / "c", saved.sha256)
    assert meta == META
    assert after.report == before.report
    assert equal(dict(after.optimizer), dict(before.optimizer))
    assert equal(dict(after.rng), dict(before.rng))
    assert equal(dict(again.named_parameters()), dict(model.named_parameters()))
    assert load_model(tmp_path / "c")[1] == META


def test_what_was_written_is_told(folder: Path, tmp_path: Path):
    saved = save_checkpoint(tmp_path / "other", tiny(), META, state())
    files = {path.name: path.stat().st_size for path in (tmp_path / "other").iterdir()}
    assert saved.size_bytes == sum(files.values()) - files["manifest.json"]
    assert sorted(files) == [
        "manifest.json",
        "model.json",
        "model.safetensors",
        "trainer.json",
        "trainer.safetensors",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "step-7"]


def test_a_tied_head_is_stored_once(folder: Path):
    assert "output.weight" not in load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    "name", ["manifest.json", "model.json", "model.safetensors", "trainer.json", "trainer.safetensors"]
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "flipped", "longer"])
def test_damage_of_any_file_is_refused(folder: Path, tmp_path: Path, name, damage):
    sha256 = save_checkpoint(tmp_path / "again", tiny(), META, state()).sha256
    path = tmp_path / "again" / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes({"truncated": content[:-1], "empty": b"", "longer": content + b" "}[damage])
    with pytest.raises(BadCheckpoint, match="again|" + name):
        load_checkpoint(tmp_path / "again", sha256)


def test_a_model_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(BadCheckpoint, match="No such file"):
        load_model(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("model.json", lambda value: {**value, "surprise": 1}),
        ("model.json", lambda value: {**value, "config": {**value["config"], "n_heads": 3}}),
        ("model.json", lambda value: {**value, "config": {**value["config"], "emb_dim": 16}}),
        ("model.json", lambda value: {**value, "config": {**value["config"], "n_layers": 2**20}}),
        ("model.json", lambda value: {**value, "family": "word2vec"}),
        ("model.json", lambda value: {**value, "family": "word2vec", "config": {"vocab_size": 11, "emb_dim": 8}}),
        ("model.json", lambda value: [value]),
        ("trainer.json", lambda value: {**value, "surprise": 1}),
        ("manifest.json", lambda value: {**value, "format": 2}),
        ("manifest.json", lambda value: {"format": 1, "files": {}}),
        ("manifest.json", lambda value: {"format": 1}),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder: Path, file, change):
    """Well-formed and vouched for by the manifest, but not what this version writes."""
    path = folder / file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    if file != "manifest.json":
        reseal(folder, file)
    with pytest.raises(BadCheckpoint):
        load_checkpoint(folder)


@pytest.mark.parametrize("odd", [{"step": torch.zeros(1)}, {"other.name": torch.zeros(1)}])
def test_tensors_of_no_known_group_are_refused(folder: Path, odd):
    save_file(odd, folder / "trainer.safetensors")
    reseal(folder, "trainer.safetensors")
    with pytest.raises(BadCheckpoint):
        load_checkpoint(folder)


def test_weights_of_another_precision_are_refused(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in tensors.items()}, folder / "model.safetensors")
    reseal(folder, "model.safetensors")
    with pytest.raises(BadCheckpoint, match="not those of the configuration"):
        load_model(folder)


def reseal(folder: Path, name: str) -> None:
    """Have the manifest vouch for a changed file."""
    import hashlib

    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / name).read_bytes()
    manifest["files"][name] = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_folder_is_never_written_twice(folder: Path):
    with pytest.raises(FileExistsError):
        save_checkpoint(folder, tiny(), META, state())
    assert load_checkpoint(folder)


def test_a_failure_leaves_nothing(tmp_path: Path):
    with pytest.raises(TypeError):
        save_model(tmp_path / "m", tiny(), ModelMeta(CONFIG, tokenizer=object()))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


KILLED_IN_THE_MIDST = """
import os, sys, signal
from pathlib import Path
from app.llm import checkpoint
from tests.llm.test_checkpoint import META, state, tiny
calls, allowed, real = 0, int(sys.argv[2]), checkpoint._sync
def sync(path):
    global calls
    calls += 1
    if calls > allowed:
        os.kill(os.getpid(), signal.SIGKILL)
    real(path)
checkpoint._sync = sync
checkpoint.save_checkpoint(Path(sys.argv[1]), tiny(), META, state())
"""


@pytest.mark.parametrize("allowed_syncs", [0, 1, 3, 4, 5, 6])
def test_a_kill_between_files_leaves_no_checkpoint_under_its_name(tmp_path: Path, allowed_syncs):
    """SIGKILL at each sync: before the last file, before the rename, and between rename and the folder's own sync."""
    process = subprocess.run(
        [sys.executable, "-c", KILLED_IN_THE_MIDST, str(tmp_path / "c"), str(allowed_syncs)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        check=False,
    )
    assert process.returncode == -9
    if allowed_syncs < 6:
        assert not (tmp_path / "c").exists()
    else:
        load_checkpoint(tmp_path / "c")


def test_a_model_made_of_a_checkpoint_shares_its_bytes(folder: Path, tmp_path: Path):
    saved = copy_model(folder, tmp_path / "m")
    assert (tmp_path / "m/model.safetensors").samefile(folder / "model.safetensors")
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "manifest.json",
        "model.json",
        "model.safetensors",
    ]
    for path in folder.iterdir():
        path.unlink()
    model, meta = load_model(tmp_path / "m")
    assert meta == META
    assert equal(dict(model.named_parameters()), dict(tiny().named_parameters()))
    assert (
        saved.weights_sha256
        == json.loads((tmp_path / "m/manifest.json").read_text())["files"]["model.safetensors"]["sha256"]
    )


def test_a_broken_checkpoint_makes_no_model(folder: Path, tmp_path: Path):
    (folder / "model.json").write_text("{}")
    with pytest.raises(BadCheckpoint):
        copy_model(folder, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_publishing_replaces_what_an_attempt_before_left(tmp_path: Path):
    save_model(tmp_path / "job/model", tiny(), META)
    (tmp_path / "models/name").mkdir(parents=True)
    (tmp_path / "models/name/rest").touch()
    publish(tmp_path / "job/model", tmp_path / "models/name")
    assert load_model(tmp_path / "models/name")[1] == META
    assert list((tmp_path / "job").iterdir()) == []


def test_weights_are_mapped_and_a_change_stays_private(folder: Path):
    model, _ = load_model(folder)
    with torch.no_grad():
        model.token_embedding.weight.add_(1.0)
    again, _ = load_model(folder)
    assert equal(dict(again.named_parameters()), dict(tiny().named_parameters()))
