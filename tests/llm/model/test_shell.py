"""A network's shapes without its memory, and without what PyTorch would import to draw it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from app.llm.config import PRESETS, ModelConfig
from app.llm.model.shell import without_weights
from app.llm.model.transformer import Transformer


@pytest.mark.parametrize("preset", ["gpt-tiny", "llama-tiny"])
@pytest.mark.parametrize("tied", [True, False])
def test_it_has_the_shapes_of_a_network_and_takes_its_weights(preset: str, tied: bool) -> None:
    config = ModelConfig(**{"vocab_size": 203, **PRESETS[preset], "tied": tied})
    network = Transformer(config).eval()
    with without_weights():
        shell = Transformer(config).eval()
    told = [{name: each.shape for name, each in one.named_parameters()} for one in (network, shell)]
    assert told[0] == told[1]
    assert all(parameter.is_meta for parameter in shell.parameters())
    shell.load_state_dict(dict(network.named_parameters()), assign=True)
    ids = torch.arange(9)[None]
    assert torch.equal(shell(ids), network(ids))


def test_outside_of_it_values_are_drawn_again() -> None:
    with without_weights():
        nn.Linear(3, 3)
    assert nn.Linear(3, 3).weight.abs().sum() > 0


def test_neither_pytorchs_compiler_nor_sympy_is_imported() -> None:
    told = (
        "import sys\n"
        "from app.llm.config import PRESETS, ModelConfig\n"
        "from app.llm.model.shell import without_weights\n"
        "from app.llm.model.transformer import Transformer\n"
        "with without_weights():\n"
        "    Transformer(ModelConfig(203, **PRESETS['gpt-tiny']))\n"
        "print(*({'sympy', 'torch._dynamo'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
