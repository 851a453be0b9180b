"""Folders of Hugging Face's GPT-2 and Llama: the same logits as `transformers`, and every lie told by its name."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.errors import BadConfig, BadWeights
from app.llm.model.transformer import Transformer
from app.llm.weights.hf_config import parse, read_config
from app.llm.weights.huggingface import files_of, open_weights
from tests.weight_files import CONFIGS, a_folder, a_network, rewrite_header

INDEX = "model.safetensors.index.json"
GPT2 = dict(vocab_size=211, n_positions=40, n_embd=48, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0)
LLAMA = dict(
    vocab_size=211,
    max_position_embeddings=40,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=3,
    num_attention_heads=6,
)


def load(folder: Path) -> Transformer:
    """The network of a folder, through nothing but our reader."""
    config = read_config(parse((folder / "config.json").read_bytes(), "config.json"))
    index = json.loads((folder / INDEX).read_text()) if (folder / INDEX).exists() else None
    names = files_of(index) if index else ["model.safetensors"]
    weights = open_weights(config, {name: folder / name for name in names}, index)
    network = Transformer(config)
    network.load_state_dict(dict(weights.ours()))
    return network.eval()


@pytest.fixture(scope="module")
def transformers() -> Iterator[Any]:
    found = pytest.importorskip("transformers")
    found.utils.logging.set_verbosity_error()
    found.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield found


def drawn(model: Any, seed: int = 3) -> Any:
    """Weights of a size at which logits are far from zero, biases and norms too; `o_proj` has no bias here."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_norm = weight.dim() == 1 and name.endswith("weight")
            weight.copy_(torch.randn_like(weight) * 0.15 + (1.0 if is_norm else 0.0))
            if name.endswith("o_proj.bias"):
                weight.zero_()
    return model.eval()


@pytest.mark.parity
@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("GPT2", {}),
        ("GPT2", {"tie_word_embeddings": False, "n_inner": 100, "layer_norm_epsilon": 1e-3}),
        ("GPT2", {"activation_function": "gelu_pytorch_tanh"}),
        ("Llama", {}),
        ("Llama", {"num_key_value_heads": 2, "tie_word_embeddings": True, "rms_norm_eps": 1e-3}),
        ("Llama", {"num_key_value_heads": 1, "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}}),
        ("Llama", {"num_key_value_heads": 3, "attention_bias": True}),
    ],
)
@torch.inference_mode()
def test_logits_are_those_of_transformers(
    transformers: Any, tmp_path: Path, family: str, fields: dict[str, Any]
) -> None:
    config = getattr(transformers, f"{family}Config")(**(GPT2 if family == "GPT2" else LLAMA) | fields)
    heads = {"GPT2": "GPT2LMHeadModel", "Llama": "LlamaForCausalLM"}
    theirs = drawn(getattr(transformers, heads[family])(config))
    theirs.save_pretrained(tmp_path / "whole")
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    assert (tmp_path / "shards" / INDEX).exists()
    ids = torch.randint(0, 211, (2, 40))
    expected = theirs(ids).logits
    assert expected.std() > 0.3
    for folder in ("whole", "shards"):
        torch.testing.assert_close(load(tmp_path / folder)(ids), expected, atol=1e-4, rtol=0)


@pytest.mark.parity
@torch.inference_mode()
def test_a_bare_model_and_half_precision(transformers: Any, tmp_path: Path) -> None:
    theirs = drawn(transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)))
    theirs.transformer.save_pretrained(tmp_path / "bare")
    assert "wte.weight" in load_file(tmp_path / "bare" / "model.safetensors")
    ids = torch.randint(0, 211, (1, 20))
    torch.testing.assert_close(load(tmp_path / "bare")(ids), theirs(ids).logits, atol=1e-4, rtol=0)
    theirs.to(torch.bfloat16).save_pretrained(tmp_path / "bf16")
    torch.testing.assert_close(load(tmp_path / "bf16")(ids), theirs.float()(ids).logits, atol=1e-4, rtol=0)


def written(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


@torch.inference_mode()
def test_the_released_checkpoints_names(tmp_path: Path) -> None:
    """TensorFlow's: matrices as (1, in, out), queries, keys and values in one."""
    network = a_network(replace(CONFIGS["gpt2"], norm_eps=1e-5))
    ours = dict(network.named_parameters())
    tensors = {"model/wte": ours["token_embedding.weight"], "model/wpe": ours["position_embedding.weight"]}
    tensors |= {"model/ln_f/g": ours["final_norm.scale"], "model/ln_f/b": ours["final_norm.shift"]}
    for n in range(2):
        of = {name.removeprefix(f"blocks.{n}."): weight for name, weight in ours.items() if f"blocks.{n}." in name}
        for theirs, our in (("ln_1", "attention_norm"), ("ln_2", "feed_forward_norm")):
            tensors[f"model/h{n}/{theirs}/g"], tensors[f"model/h{n}/{theirs}/b"] = (
                of[f"{our}.scale"],
                of[f"{our}.shift"],
            )
        joined = [torch.cat([of[f"attention.{part}.{kind}"] for part in ("query", "key", "value")]) for kind in WB]
        linear = {"attn/c_attn": joined}
        linear |= {"attn/c_proj": [of[f"attention.out.{kind}"] for kind in WB]}
        linear |= {"mlp/c_fc": [of[f"feed_forward.up.{kind}"] for kind in WB]}
        linear |= {"mlp/c_proj": [of[f"feed_forward.down.{kind}"] for kind in WB]}
        for theirs, (weight, bias) in linear.items():
            tensors[f"model/h{n}/{theirs}/w"], tensors[f"model/h{n}/{theirs}/b"] = weight.t()[None], bias
    hparams = {"n_vocab": network.config.vocab_size, "n_ctx": 48, "n_embd": 32, "n_head": 4, "n_layer": 2}
    folder = written(tmp_path / "tf", hparams, tensors)
    loaded = load(folder)
    assert loaded.config == network.config
    ids = torch.arange(20)[None]
    torch.testing.assert_close(loaded(ids), network(ids), rtol=0, atol=0)


WB = ("weight", "bias")


@pytest.mark.parametrize("with_bias", [True, False])
@torch.inference_mode()
def test_the_books_names(tmp_path: Path, with_bias: bool) -> None:
    """Chapter 4's GPTModel, with the mask that it registers, and the configuration in the book's words."""
    config = ModelConfig(vocab_size=50, context_length=16, emb_dim=12, n_heads=3, n_layers=2, qkv_bias=with_bias)
    network = a_network(config)
    tensors = {"trf_blocks.0.att.mask": torch.ones(16, 16)}
    for name, weight in network.named_parameters():
        renamed = name
        for ours, theirs in (
            ("token_embedding", "tok_emb"), ("position_embedding", "pos_emb"), ("output.", "out_head."),
            ("blocks", "trf_blocks"), ("attention_norm", "norm1"), ("feed_forward_norm", "norm2"),
            ("attention.out", "att.out_proj"), ("attention.query", "att.W_query"), ("attention.key", "att.W_key"),
            ("attention.value", "att.W_value"), ("feed_forward.up", "ff.layers.0"),
            ("feed_forward.down", "ff.layers.2"),
        ):  # fmt: skip
            renamed = renamed.replace(ours, theirs)
        tensors[renamed] = weight
    book = {"vocab_size": 50, "context_length": 16, "emb_dim": 12, "n_heads": 3, "n_layers": 2, "drop_rate": 0.0}
    loaded = load(written(tmp_path / "book", book | {"qkv_bias": with_bias}, tensors))
    ids = torch.arange(16)[None]
    torch.testing.assert_close(loaded(ids), network(ids), rtol=0, atol=0)


@torch.inference_mode()
@pytest.mark.parametrize("name", CONFIGS)
def test_our_own_names(tmp_path: Path, name: str) -> None:
    network = a_network(CONFIGS[name])
    folder = written(tmp_path / "own", CONFIGS[name].to_dict(), dict(network.named_parameters()))
    loaded = load(folder)
    assert loaded.config == network.config
    ids = torch.arange(20)[None]
    torch.testing.assert_close(loaded(ids), network(ids), rtol=0, atol=0)


def changed(tensors: dict[str, Tensor], name: str, how: str) -> dict[str, Tensor]:
    found = dict(tensors)
    if how == "missing":
        del found[name]
    elif how == "turned":
        found[name] = found[name].t()
    elif how == "shorter":
        found[name] = found[name][:-1]
    elif how == "nan":
        found[name] = found[name].clone()
        found[name].view(-1)[3] = float("nan")
    elif how == "more":
        found[name + ".strange"] = torch.zeros(3)
    return found


@pytest.mark.parametrize(
    ("family", "name", "how", "message"),
    [
        ("gpt2", "transformer.h.1.mlp.c_fc.weight", "missing", r"'transformer\.h\.1\.mlp\.c_fc\.weight' is missing"),
        (
            "gpt2",
            "transformer.h.1.mlp.c_fc.weight",
            "turned",
            r"c_fc\.weight' has the shape \(128, 32\), .* \(32, 128\)",
        ),
        ("gpt2", "transformer.wte.weight", "shorter", r"wte\.weight' has the shape"),
        ("gpt2", "transformer.wpe.weight", "shorter", r"wpe\.weight' has the shape \(47, 32\)"),
        ("gpt2", "transformer.h.0.attn.c_attn.bias", "nan", r"c_attn\.bias' holds NaN"),
        ("gpt2", "transformer.ln_f.weight", "more", r"without a place .*'transformer\.ln_f\.weight\.strange'"),
        ("llama", "model.embed_tokens.weight", "missing", "token embedding is missing"),
        ("llama", "model.layers.1.self_attn.k_proj.weight", "shorter", r"k_proj\.weight' has the shape \(15, 32\)"),
        ("llama", "model.norm.weight", "nan", r"model\.norm\.weight' holds NaN"),
        ("llama", "model.norm.weight", "more", "without a place"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path, family: str, name: str, how: str, message: str) -> None:
    folder = a_folder(tmp_path / "m", a_network(CONFIGS[family]))
    tensors = changed(load_file(folder / "model.safetensors"), name, how)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(BadWeights, match=message):
        load(folder)


def test_a_tied_head_must_be_the_embedding(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m", a_network(CONFIGS["gpt2"]))
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
    save_file(tensors, folder / "model.safetensors")
    load(folder)
    tensors["lm_head.weight"][3, 3] += 1
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BadWeights, match=r"'lm_head\.weight' is not 'transformer\.wte\.weight'"):
        load(folder)


@pytest.mark.parametrize("shape", [(255, 32), (256, 32, 1), (32,), ()])
def test_a_tied_head_of_another_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    folder = a_folder(tmp_path / "m", a_network(CONFIGS["gpt2"]))
    tensors = load_file(folder / "model.safetensors") | {"lm_head.weight": torch.zeros(shape)}
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BadWeights, match=r"'lm_head\.weight' has the shape"):
        load(folder)


@pytest.mark.parametrize("name", ["lm_head.weight", "transformer.h.0.attn.c_attn.bias"])
@pytest.mark.parametrize("shape", [[0], [2**62, 0]])
def test_a_tensor_without_numbers(tmp_path: Path, name: str, shape: list[int]) -> None:
    folder = a_folder(tmp_path / "m", a_network(CONFIGS["gpt2"]))
    empty = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    rewrite_header(folder / "model.safetensors", lambda header: header.update(empty))
    with pytest.raises(BadWeights, match=re.escape(name)):
        load(folder)


def test_a_bias_of_another_shape_that_we_have_no_place_for(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m", a_network(CONFIGS["gpt2 untied, without biases"]))
    load(folder)
    tensors = load_file(folder / "model.safetensors")
    assert tensors["transformer.h.0.attn.c_attn.bias"].shape == (96,)
    tensors["transformer.h.0.attn.c_attn.bias"] = torch.zeros(7)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BadWeights, match=r"c_attn\.bias' has the shape \(7,\), .* \(96,\)"):
        load(folder)


def test_a_bias_that_we_have_no_place_for_must_be_zero(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m", a_network(CONFIGS["llama untied, with biases"]))
    load(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.self_attn.o_proj.bias"][2] = 0.5
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BadWeights, match=r"'model\.layers\.1\.self_attn\.o_proj\.bias' has no place"):
        load(folder)


def test_masks_and_tables_of_older_files_are_left_alone(tmp_path: Path) -> None:
    for family, name in (
        ("gpt2", "transformer.h.0.attn.bias"),
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
    ):
        folder = a_folder(tmp_path / family, a_network(CONFIGS[family]))
        save_file(load_file(folder / "model.safetensors") | {name: torch.ones(3)}, folder / "model.safetensors")
        load(folder)


def test_an_index_that_disagrees_and_a_doubled_name(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m", a_network(CONFIGS["gpt2"]))
    tensors = load_file(folder / "model.safetensors")
    first, second = dict(list(tensors.items())[:5]), dict(list(tensors.items())[5:])
    save_file(first, folder / "a.safetensors")
    save_file(second, folder / "b.safetensors")
    index = {"weight_map": dict.fromkeys(first, "a.safetensors") | dict.fromkeys(second, "b.safetensors")}
    config = read_config(parse((folder / "config.json").read_bytes(), "config.json"))
    files = {name: folder / name for name in files_of(index)}
    assert list(files) == ["a.safetensors", "b.safetensors"]
    open_weights(config, files, index)
    with pytest.raises(BadWeights, match="'nothing' is in no file"):
        open_weights(config, files, {"weight_map": index["weight_map"] | {"nothing": "a.safetensors"}})
    swapped = index["weight_map"] | {"transformer.wpe.weight": "c.safetensors"}
    with pytest.raises(BadWeights, match=r"'transformer\.wpe\.weight' is in [ab]\.safetensors, .* 'c\.safetensors'"):
        open_weights(config, files, {"weight_map": swapped})
    missing = {name: file for name, file in index["weight_map"].items() if name != "transformer.wpe.weight"}
    with pytest.raises(BadWeights, match=r"'transformer\.wpe\.weight' is not in the index"):
        open_weights(config, files, {"weight_map": missing})
    save_file(second | {"transformer.wpe.weight": tensors["transformer.wpe.weight"]}, folder / "b.safetensors")
    save_file(first | {"transformer.wpe.weight": tensors["transformer.wpe.weight"]}, folder / "a.safetensors")
    with pytest.raises(BadWeights, match=r"'transformer\.wpe\.weight' stands in two files"):
        open_weights(config, files)
    for odd in ({}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": 3}}):
        with pytest.raises(BadConfig, match="weight_map"):
            files_of(odd)


def test_more_blocks_than_tensors_are_refused_before_they_are_listed(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m", a_network(CONFIGS["gpt2"]), lambda values: values.update(n_layer=1_000_000))
    with pytest.raises(BadWeights, match="too few for 1000000 blocks"):
        load(folder)


def test_a_header_that_names_another_dtype_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m", a_network(CONFIGS["gpt2"]))
    rewrite_header(folder / "model.safetensors", lambda h: h["transformer.wte.weight"].update(dtype="F16"))
    with pytest.raises(BadWeights, match=r"'transformer\.wte\.weight': \d+ bytes are not those"):
        load(folder)
