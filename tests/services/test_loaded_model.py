"""What a model in memory keeps of its float32 weights: none beside packed ones, all where they are its file's pages."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.config import Settings
from app.db.session import Database
from app.llm import checkpoint
from app.llm.checkpoint import ModelMeta
from app.llm.config import PRESETS, ModelConfig
from app.llm.engine.device_runner import DeviceRunner
from app.llm.engine.torch_runner import TorchRunner
from app.llm.model.stored import StoredNetwork
from app.llm.model.transformer import Transformer
from app.services import memory, model_files, runners
from app.services.loaded_model import LoadedModel, Loader
from app.services.metrics import Metrics
from app.services.model_files import Place, Weights
from tests.fakes import ByteTokenizer, OneTokenizer

SMALL = ModelConfig(vocab_size=ByteTokenizer.vocab_size, **PRESETS["llama-tiny"])
WIDE = ModelConfig(ByteTokenizer.vocab_size, context_length=64, emb_dim=512, n_heads=8, n_layers=4)  # 51 MB


@pytest.fixture
def load(settings: Settings, database: Database, kernels: Path):
    """Loads a place, by `read` if it is given."""
    loaded: list[LoadedModel] = []

    def load(place: Place, read: Callable = model_files.read, make_runner: Callable = runners.make) -> LoadedModel:
        chosen = settings.model_copy(update={"assets_dir": kernels.parent})
        loader = Loader(chosen, database, OneTokenizer(ByteTokenizer()), read, make_runner, Metrics())
        loaded.append(loader.load(place, lambda _: None, lambda: None, lambda: None))
        return loaded[-1]

    yield load
    for model in loaded:
        model.close()


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    checkpoint.save_model(tmp_path / "mine", Transformer(WIDE), ModelMeta(WIDE, "bytes"))
    return Place("mine", tmp_path / "mine", is_gguf=False)


def read_afresh(place: Place, tell: object) -> Weights:
    """As from a GGUF file: the weights lie in memory of their own."""
    return Weights(Transformer(SMALL).eval(), SMALL, "bytes", None, None)


def anonymous_mb() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024


def test_beside_packed_weights_the_network_goes_and_comes(load, tmp_path) -> None:
    living: weakref.WeakSet[Transformer] = weakref.WeakSet()

    def read(place: Place, tell: object) -> Weights:
        weights = read_afresh(place, tell)
        living.add(weights.network)
        return weights

    model = load(Place("mine", tmp_path, is_gguf=True), read)
    assert len(living) == 0
    assert model.weight_bytes > 0
    with model.network.lent() as network:
        assert list(living) == [network]
    assert model.is_idle


def test_a_runner_that_runs_the_network_keeps_it(load, tmp_path) -> None:
    def make_runner(network: Transformer, settings: Settings, tell: object) -> TorchRunner:
        return TorchRunner(network, kv_cache_tokens=64)

    model = load(Place("mine", tmp_path, is_gguf=True), read_afresh, make_runner)
    model.network.let_go()
    with model.network.lent() as network, model.network.lent() as again:
        assert network is again
    assert model.weight_bytes == 4 * network.parameter_count()


def test_a_network_that_was_packed_by_parts_is_read_whole_for_who_borrows_it(load, tmp_path) -> None:
    made = Transformer(SMALL).eval()
    asked: list[str] = []

    def weights_of(start: str) -> list[tuple[str, Tensor]]:
        asked.append(start)
        return [(name, weight) for name, weight in made.named_parameters() if name.startswith(start)]

    def read(place: Place, tell: object) -> Weights:
        return Weights(StoredNetwork(SMALL, weights_of), SMALL, "bytes", None, None)

    model = load(Place("mine", tmp_path, is_gguf=True), read)
    assert "blocks.0." in asked
    assert "" not in asked  # which would be all of them
    with model.network.lent() as network:
        assert all(map(torch.equal, network.parameters(), made.parameters()))


def test_a_folder_is_mapped_and_takes_no_memory_of_its_own(load, folder) -> None:
    """So nothing is gained by letting go of it, and it outlives its folder."""
    model_files.read(folder)  # the first time, PyTorch imports what it makes networks without memory with
    before = anonymous_mb()
    weights = model_files.read(folder)
    assert weights.is_mapped
    sum(parameter.sum() for parameter in weights.network.parameters())  # each page was read
    memory.give_back()
    assert anonymous_mb() - before < 20
    model = load(folder, lambda *_: weights)
    shutil.rmtree(folder.path)
    with model.network.lent() as network, torch.inference_mode():
        assert network is weights.network
        assert network(torch.arange(8)[None]).isfinite().all()


def test_what_computes_on_the_cpu_keeps_no_gpu_waiting(load, folder: Place) -> None:
    """The engine of a device and the network that is lent, which lies in the machine's memory, pass two gates."""

    def on_a_device(network: Transformer, *_: object) -> DeviceRunner:
        return DeviceRunner(network, "float32", device=torch.device("cpu"), kv_cache_tokens=64)

    model = load(folder, read_afresh, on_a_device)
    assert model.gate is not model.loop._gate
    model = load(folder, read_afresh, lambda network, *_: TorchRunner(network, kv_cache_tokens=64))
    assert model.gate is model.loop._gate
