"""Who serves a network: kernels where they are, PyTorch's operators where not, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs

from app.config import Settings
from app.errors import NotReady
from app.llm.config import PRESETS, Dtype, ModelConfig
from app.llm.engine import device_runner, graphs
from app.llm.engine.packed_probe import Found, NotFound, probe
from app.llm.engine.packed_runner import PackedRunner
from app.llm.engine.torch_runner import TorchRunner
from app.llm.kernels.native import NativeRunner
from app.llm.model.transformer import Transformer
from app.services import runners


@pytest.fixture
def network() -> Transformer:
    torch.manual_seed(0)
    return Transformer(ModelConfig(vocab_size=203, **PRESETS["llama-tiny"])).eval()


@pytest.fixture
def bare(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine with neither kernels nor a compiler."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return settings.model_copy(update={"assets_dir": tmp_path / "assets", "kv_cache_tokens": 64})


def with_dtype(settings: Settings, dtype: str) -> Settings:
    return settings.model_copy(update={"dtype": dtype})


def without(*missing: Dtype) -> object:
    return lambda dtype: NotFound("it is not there") if dtype in missing else probe(dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "int4"])
def test_without_a_compiler_a_named_format_is_served_all_the_same(
    dtype: str, bare: Settings, network: Transformer
) -> None:
    with capture_logs() as logs:
        runner = runners.make(network, with_dtype(bare, dtype))
    assert isinstance(runner, PackedRunner)
    assert runner.dtype == dtype
    assert [(line["event"], line["dtype"]) for line in logs] == [("no_kernels", dtype)]


def test_without_a_compiler_float32_is_the_network_itself(bare: Settings, network: Transformer) -> None:
    assert isinstance(runners.make(network, with_dtype(bare, "float32")), TorchRunner)
    assert isinstance(runners.make(network, bare), TorchRunner)  # it is small


def test_kernels_go_before(settings: Settings, kernels: Path, network: Transformer) -> None:
    own = settings.model_copy(update={"assets_dir": kernels.parent, "kv_cache_tokens": 64, "dtype": "int8"})
    assert isinstance(runners.make(network, own), NativeRunner)


@pytest.fixture
def gpu(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine with a GPU, which nothing here computes on."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    return settings.model_copy(update={"device": "auto"})


def test_a_gpu_goes_before_unless_the_cpu_is_named(
    gpu: Settings, network: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(runners, "on_cuda", lambda network, settings: made.append(settings.device))
    runners.make(network, gpu)
    runners.make(network, gpu.model_copy(update={"device": "cuda"}))
    assert made == ["auto", "cuda"]
    assert runners.choose_device(gpu.model_copy(update={"device": "cpu"})) == "cpu"


def test_a_gpu_that_is_not_there_is_refused_where_it_was_named(
    settings: Settings, network: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runners.choose_device(settings.model_copy(update={"device": "auto"})) == "cpu"
    with pytest.raises(NotReady, match="INKLING_DEVICE is cuda"):
        runners.make(network, settings.model_copy(update={"device": "cuda"}))


def test_a_gpu_computes_in_bfloat16_what_is_large(
    gpu: Settings, network: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runners.choose_on_cuda(network, gpu) == "float32"
    monkeypatch.setattr(runners, "SMALL_PARAMETERS", 0)
    assert runners.choose_on_cuda(network, gpu) == "bfloat16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert runners.choose_on_cuda(network, gpu) == "float32"
    assert runners.choose_on_cuda(network, with_dtype(gpu, "bfloat16")) == "bfloat16"


def test_what_a_gpu_has_no_memory_for_is_refused(
    gpu: Settings, network: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scarce(*_: object, device: torch.device, **__: object) -> None:
        assert device.type == "cuda"
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(graphs, "CudaCapture", lambda _: graphs.uncaptured)
    monkeypatch.setattr(device_runner, "DeviceRunner", scarce)
    with pytest.raises(NotReady, match="INKLING_KV_CACHE_TOKENS"):
        runners.make(network, gpu)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_a_named_format_that_no_gpu_serves_is_refused(dtype: str, gpu: Settings, network: Transformer) -> None:
    with pytest.raises(NotReady, match=f"INKLING_DTYPE is {dtype}.*float32, bfloat16"):
        runners.make(network, with_dtype(gpu, dtype))


def test_auto_takes_the_next_format_and_says_so(bare: Settings, network: Transformer) -> None:
    with capture_logs() as logs:
        runner = runners.without_kernels(network, "int4", bare, without("int4"))
    assert isinstance(runner, PackedRunner)
    assert runner.dtype == "int8"
    assert [(line["event"], line["dtype"], line["why"]) for line in logs] == [
        ("format_not_served", "int4", "it is not there")
    ]
    assert isinstance(runners.without_kernels(network, "int4", bare, without("int8")), TorchRunner)  # its head is int8


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "int4"])
def test_a_named_format_that_nothing_serves_is_refused(dtype: Dtype, bare: Settings, network: Transformer) -> None:
    with pytest.raises(NotReady, match=f"INKLING_DTYPE is {dtype}.*it is not there"):
        runners.without_kernels(network, dtype, with_dtype(bare, dtype), without(dtype))


def test_four_bits_keep_eight_in_the_head(bare: Settings, network: Transformer) -> None:
    found = {dtype: probe(dtype) for dtype in ("int8", "int4")}
    asked: list[Dtype] = []

    def noted(dtype: Dtype) -> Found | NotFound:
        asked.append(dtype)
        return found[dtype]

    runners.without_kernels(network, "int4", bare, noted)
    assert asked == ["int4", "int8"]
