"""Adapters in peft's files: the same logits there and here, the same bits when they come back, one step the same."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from app.llm.config import AdapterConfig, LoRAConfig
from app.llm.errors import BadConfig, BadWeights
from app.llm.model.adapter import Adapter, wear, worn
from app.llm.model.lora import lora_weights
from app.llm.model.shapes import adapter_shapes
from app.llm.model.transformer import Transformer
from app.llm.weights.adapter import CONFIG, TENSORS, read_adapter, write_adapter
from app.llm.weights.safetensors_file import SafetensorsFile
from tests.weight_files import CONFIGS, a_folder, a_network

SHA = "0" * 64
LORA = LoRAConfig(3, 6.0)
TARGETS: dict[str, tuple[str, ...] | None] = {
    "all": None,
    "attention": ("query", "value", "out"),
    "one": ("down",),
}


def an_adapter(network: Transformer, lora: LoRAConfig = LORA, seed: int = 1) -> Adapter:
    config = AdapterConfig(network.config, lora, SHA)
    draw = torch.Generator().manual_seed(seed)
    shapes = {weight.name: weight.shape for weight in adapter_shapes(config)}
    return Adapter(config, {name: 0.2 * torch.randn(shape, generator=draw) for name, shape in shapes.items()})


def written(folder: Path, adapter: Adapter) -> Path:
    folder.mkdir()
    write_adapter(folder, adapter, "base")
    return folder


def read(folder: Path, network: Transformer, sha256: str = SHA) -> Adapter:
    return read_adapter(json.loads((folder / CONFIG).read_text()), folder / TENSORS, network.config, sha256)


def peft_model(tmp_path: Path, network: Transformer) -> tuple[Any, Any]:
    """peft, and the exported base in transformers."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = transformers.AutoModelForCausalLM.from_pretrained(a_folder(tmp_path / "base", network))
    return peft, base.eval()


def from_peft(peft: Any, base: Any, folder: Path, **how: Any) -> Any:
    """The adapter beside peft's base, in evaluation mode; every tensor of it found its place."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = peft.PeftModel.from_pretrained(base, folder, **how).eval()
    assert not [str(each.message) for each in caught if "adapter keys" in str(each.message)]
    return found


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("targets", TARGETS)
def test_an_adapter_comes_back_bit_for_bit(tmp_path: Path, name: str, targets: str) -> None:
    network = a_network(CONFIGS[name])
    adapter = an_adapter(network, LoRAConfig(3, 6.0, 0.1, TARGETS[targets]))
    loaded = read(written(tmp_path / "a", adapter), network)
    lora = loaded.config.lora
    assert (lora.rank, lora.alpha, lora.dropout, lora.targets) == (3, 6.0, 0.1, adapter.config.targets)
    assert loaded.tensors.keys() == adapter.tensors.keys()
    for key, tensor in adapter.tensors.items():
        assert torch.equal(loaded.tensors[key], tensor), key


@pytest.mark.parity
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("targets", TARGETS)
@torch.inference_mode()
def test_peft_loads_what_is_written_here(tmp_path: Path, name: str, targets: str) -> None:
    network = a_network(CONFIGS[name])
    adapter = an_adapter(network, LoRAConfig(3, 6.0, targets=TARGETS[targets]))
    peft, base = peft_model(tmp_path, network)
    theirs = from_peft(peft, base, written(tmp_path / "a", adapter))
    ids = torch.randint(0, network.config.vocab_size, (2, 20), generator=torch.Generator().manual_seed(0))
    ours = worn(network, adapter)(ids)
    assert (ours - network(ids)).abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt2", dict(target_modules=["c_attn"])),
        ("gpt2", dict(target_modules="all-linear")),
        ("llama", dict(target_modules=["q_proj", "v_proj"])),
        ("llama", dict(target_modules="all-linear", use_rslora=True)),
        ("llama", dict(target_modules="all-linear", rank_pattern={"q_proj": 2}, alpha_pattern={"down_proj": 3})),
        ("llama", dict(target_modules=["q_proj"], layers_to_transform=[1])),
    ],
)
@torch.inference_mode()
def test_what_peft_writes_is_loaded_here(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    network = a_network(CONFIGS[name])
    peft, base = peft_model(tmp_path, network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it corrects fan_in_fan_out, and says so
        config = peft.LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **changes)
        theirs = peft.get_peft_model(base, config).eval()
        torch.manual_seed(3)
        for key, parameter in theirs.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.2)
        theirs.save_pretrained(tmp_path / "a")
    ids = torch.randint(0, network.config.vocab_size, (2, 20), generator=torch.Generator().manual_seed(0))
    ours = worn(network, read(tmp_path / "a", network))(ids)
    assert (ours - network(ids)).abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_of_training_is_pefts(tmp_path: Path, name: str) -> None:
    """In GPT-2's joined layer peft learns the zeros of B, too: there each layer's own block is compared."""
    network = a_network(CONFIGS[name])
    adapter = an_adapter(network)
    peft, base = peft_model(tmp_path, network)
    theirs = from_peft(peft, base, written(tmp_path / "a", adapter), is_trainable=True)
    wear(network, adapter)
    ids = torch.randint(0, network.config.vocab_size, (4, 20), generator=torch.Generator().manual_seed(0))
    own = list(lora_weights(network).values())
    for model, parameters, logits in (
        (network, own, lambda: network(ids)),
        (theirs, [p for p in theirs.parameters() if p.requires_grad], lambda: theirs(ids).logits),
    ):
        optimizer = torch.optim.SGD(parameters, lr=0.5)
        torch.autograd.backward(F.cross_entropy(logits()[:, :-1].flatten(0, 1), ids[:, 1:].flatten()))
        assert sum(p.grad is not None for p in model.parameters()) == len(parameters)
        optimizer.step()
    learnt = Adapter(adapter.config, {key: p.detach() for key, p in lora_weights(network).items()})
    ours = load_file(written(tmp_path / "ours", learnt) / TENSORS)
    found = {key.replace(".default", ""): p.detach() for key, p in theirs.named_parameters() if p.requires_grad}
    before = load_file(tmp_path / "a" / TENSORS)
    assert found.keys() == ours.keys()
    for key, tensor in ours.items():
        mask = before[key] != 0
        torch.testing.assert_close(tensor * mask, found[key] * mask, atol=1e-6, rtol=1e-5, msg=key)
        assert (tensor - before[key]).abs().max() > 1e-6


def test_an_adapter_of_another_base_is_refused_by_name(tmp_path: Path) -> None:
    network = a_network(CONFIGS["llama"])
    folder = written(tmp_path / "a", an_adapter(network))
    with pytest.raises(BadWeights, match="made for other weights"):
        read(folder, network, "1" * 64)
    wider = a_network(replace(CONFIGS["llama"], hidden_dim=CONFIGS["llama"].mlp_dim + 32))
    with pytest.raises(BadWeights, match=r"another network: tensor '.*gate_proj\.lora_B\.weight' has the shape"):
        read(folder, wider)
    deeper = a_network(replace(CONFIGS["llama"], n_layers=CONFIGS["llama"].n_layers + 1))
    with pytest.raises(BadWeights, match=r"tensor '.*q_proj\.lora_A\.weight' is missing"):
        read(folder, deeper)
    with pytest.raises(BadWeights, match=r"layers that this base has not: '.*q_proj\.lora_B|.*lora_A"):
        read(folder, a_network(replace(CONFIGS["llama"], n_layers=1)))
    with pytest.raises(BadWeights, match="layers that this base has not"):
        read(folder, a_network(CONFIGS["gpt2"]))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (dict(peft_type="IA3"), "peft_type"),
        (dict(use_dora=True), "use_dora"),
        (dict(bias="all"), "bias"),
        (dict(modules_to_save=["lm_head"]), "modules_to_save"),
        (dict(init_lora_weights="pissa"), "init_lora_weights"),
        (dict(r="8"), "r"),
        (dict(lora_alpha=None), "lora_alpha"),
        (dict(lora_alpha=float("inf")), "lora_alpha"),
        (dict(lora_dropout=2), "lora_dropout"),
        (dict(rank_pattern=[1]), "rank_pattern"),
        (dict(rank_pattern={"(": 1}), "rank_pattern"),
        (dict(rank_pattern={"(.+)+X": 1}), "rank_pattern"),  # as an expression it would not end
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_configurations_of_another_kind_are_refused(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    network = a_network(CONFIGS["llama"])
    folder = written(tmp_path / "a", an_adapter(network))
    config = json.loads((folder / CONFIG).read_text()) | changes
    with pytest.raises(BadConfig) as caught:
        read_adapter(config, folder / TENSORS, network.config, SHA)
    assert caught.value.field == field


def test_files_that_are_damaged_are_refused(tmp_path: Path) -> None:
    network = a_network(CONFIGS["llama"])
    folder = written(tmp_path / "a", an_adapter(network))
    path, whole = folder / TENSORS, load_file(folder / TENSORS)
    name = next(key for key in whole if key.endswith("lora_B.weight"))
    for changed, told in (
        ({key: tensor for key, tensor in whole.items() if key != name}, "is missing"),
        (whole | {name: whole[name] * float("nan")}, "holds NaN"),
        (whole | {name.replace("lora_B", "lora_A"): torch.tensor(1.0)}, "is needed"),
        (whole | {"base_model.model.lm_head.lora_A.weight": torch.ones(2, 2)}, "layers that this base has not"),
        ({key: tensor for key, tensor in whole.items() if "nothing" in key} | {"x": torch.ones(1)}, "has not: 'x'"),
    ):
        save_file(changed, path)
        with pytest.raises(BadWeights, match=told):
            read(folder, network)
    path.write_bytes(b"{}")
    with pytest.raises(BadWeights):
        read(folder, network)


def one_layer(folder: Path, network: Transformer, rank: int) -> dict[str, Any]:
    """A file with a single layer, of this rank, and its configuration."""
    folder.mkdir()
    place, body = "base_model.model.model.layers.0.mlp.down_proj", network.config
    tensors = {
        f"{place}.lora_A.weight": torch.ones(rank, body.mlp_dim),
        f"{place}.lora_B.weight": torch.ones(body.emb_dim, rank),
    }
    save_file(tensors, folder / TENSORS)
    return {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "layers_to_transform": [0]}


def test_one_large_rank_does_not_become_a_huge_adapter(tmp_path: Path) -> None:
    """Every block's layers were filled up to it: a file of some megabytes took more than a gigabyte."""
    network = a_network(CONFIGS["llama"])
    config = one_layer(tmp_path / "a", network, 4096)
    with pytest.raises(BadWeights, match=r"one layer has the rank 4096; .* more than the .* of the base"):
        read_adapter(config, tmp_path / "a" / TENSORS, network.config, SHA)
    config = one_layer(tmp_path / "b", network, 7)
    assert read_adapter(config, tmp_path / "b" / TENSORS, network.config, SHA).config.lora.rank == 7


@pytest.mark.parametrize(
    "changes", [dict(r=5), dict(layers_to_transform=None), dict(rank_pattern={"down_proj": 5}), dict(surplus=True)]
)
def test_what_the_header_tells_is_judged_before_a_tensor_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    network = a_network(CONFIGS["llama"])
    config = one_layer(tmp_path / "a", network, 4) | changes
    if config.pop("surplus", False):
        tensors = load_file(tmp_path / "a" / TENSORS)
        save_file(tensors | {"other": torch.ones(1)}, tmp_path / "a" / TENSORS)
    read = []
    monkeypatch.setattr(SafetensorsFile, "read", lambda _file, name: read.append(name))
    with pytest.raises(BadWeights):
        read_adapter(config, tmp_path / "a" / TENSORS, network.config, SHA)
    assert read == []
