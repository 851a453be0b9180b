"""What loading a model takes at its highest: little more than what is held afterwards, whichever runner packs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.llm.weights.export import write_gguf
from tests.weight_files import TOKENS, exported

MEDIUM = ModelConfig(
    len(TOKENS), context_length=64, emb_dim=512, n_heads=8, n_layers=16, hidden_dim=1536, norm="rmsnorm",
    position="rope", mlp="swiglu", tied=True, norm_eps=2**-17,
)  # fmt: skip

LOADS = """
import gc, sys
from pathlib import Path
from app.config import Settings
from app.llm.model.stored import whole
from app.llm.weights.gguf import stored_gguf
from app.services import memory, runners

def kilobytes(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))

path, assets, way = sys.argv[1:]
settings = Settings(_env_file=None, assets_dir=assets, device="cpu", dtype="int8", threads=1, kv_cache_tokens=64)
network = stored_gguf(Path(path))[1]
if way == "at once":
    network = whole(network)
runner = runners.make(network, settings)
del network
gc.collect()
memory.give_back()
print(type(runner).__name__, kilobytes("VmHWM:"), kilobytes("VmRSS:"))
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("medium") / "medium.gguf"
    write_gguf(path, exported(Transformer(MEDIUM).eval().requires_grad_(False)), "q8_0")
    return path


def above(file: Path, assets: Path, way: str, **environment: str) -> tuple[str, float]:
    """Which runner it was, and by how much its loading was above what it holds, as a share of the float32 weights."""
    told = subprocess.run(
        [sys.executable, "-c", LOADS, str(file), str(assets), way],
        check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    ).stdout.splitlines()[-1]  # fmt: skip
    name, most, held = told.split()
    floats = 4 * sum(weight.numel() for weight in Transformer(MEDIUM).parameters())
    return name, (int(most) - int(held)) * 1024 / floats


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_the_network_is_never_in_memory_as_a_whole(file: Path, kernels: Path, tmp_path: Path) -> None:
    name, share = above(file, kernels.parent, "by parts")
    assert name == "NativeRunner"
    assert share < 0.75  # the file's pages, and a layer or two; 1.2 where all of it is read first
    bare = {"PATH": str(tmp_path)}  # without a compiler
    name, share = above(file, tmp_path / "none", "by parts", **bare)
    assert name == "PackedRunner"
    assert share < 0.75
    assert above(file, kernels.parent, "at once")[1] > 0.9  # so much would be seen
