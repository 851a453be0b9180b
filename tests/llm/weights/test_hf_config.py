"""config.json: what is read, what would change the numbers and is refused by its key, and back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.llm.config import ModelConfig
from app.llm.errors import BadConfig
from app.llm.weights.hf_config import parse, read_config
from app.llm.weights.hf_config_writer import write_config
from tests.weight_files import CONFIGS

GPT2 = {"model_type": "gpt2"}
LLAMA = {"model_type": "llama"}


def test_the_defaults_are_those_of_the_families() -> None:
    gpt2 = read_config(GPT2)
    assert (gpt2.vocab_size, gpt2.context_length, gpt2.emb_dim, gpt2.n_layers) == (50_257, 1024, 768, 12)
    assert (gpt2.qkv_bias, gpt2.tied, gpt2.mlp_dim) == (True, True, 3072)
    llama = read_config(LLAMA | {"num_attention_heads": 8, "hidden_size": 64})
    assert (llama.kv_heads, llama.tied, llama.rope_base, llama.norm_eps) == (8, False, 10_000.0, 1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_written_is_read_back(name: str) -> None:
    config = CONFIGS[name]
    values = json.loads(json.dumps(write_config(config, "float32", {"eos_token_id": 0})))
    assert read_config(values) == config


def test_a_network_of_neither_family_cannot_be_written() -> None:
    mixed = ModelConfig(vocab_size=9, context_length=8, emb_dim=8, n_heads=2, n_layers=1, norm="rmsnorm")
    with pytest.raises(BadConfig, match="neither family"):
        write_config(mixed, "float32", {})


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "model_type"),
        ({"model_type": "mamba"}, "model_type"),
        ({"model_type": ["gpt2"]}, "model_type"),
        (GPT2 | {"architectures": ["GPT2ForSequenceClassification"]}, "architectures"),
        (GPT2 | {"n_embd": 770}, "n_head"),
        (GPT2 | {"n_embd": "768"}, "n_embd"),
        (GPT2 | {"n_embd": True}, "n_embd"),
        (GPT2 | {"n_layer": 10**40}, "n_layer"),
        (GPT2 | {"n_layer": 2**21}, "n_layer"),
        (GPT2 | {"n_layer": 0}, "n_layer"),
        (GPT2 | {"n_positions": -1}, "n_positions"),
        (GPT2 | {"vocab_size": 1.5}, "vocab_size"),
        (GPT2 | {"vocab_size": None}, "vocab_size"),
        (GPT2 | {"n_inner": 0}, "n_inner"),
        (GPT2 | {"layer_norm_epsilon": 0}, "layer_norm_epsilon"),
        (GPT2 | {"layer_norm_epsilon": 1e300}, "layer_norm_epsilon"),
        (GPT2 | {"resid_pdrop": 1.0}, "resid_pdrop"),
        (GPT2 | {"activation_function": "relu"}, "activation_function"),
        (GPT2 | {"scale_attn_weights": False}, "scale_attn_weights"),
        (GPT2 | {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        (GPT2 | {"add_cross_attention": True}, "add_cross_attention"),
        (GPT2 | {"tie_word_embeddings": "no"}, "tie_word_embeddings"),
        (GPT2 | {"auto_map": {"AutoModel": "x.Y"}}, "auto_map"),
        (LLAMA | {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
        (LLAMA | {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "rope_parameters.rope_type"),
        (LLAMA | {"rope_parameters": {"rope_type": "default", "factor": 8.0}}, "rope_parameters.factor"),
        (LLAMA | {"rope_parameters": 5}, "rope_parameters"),
        (LLAMA | {"rope_parameters": {"rope_theta": 1e4}, "rope_theta": 2e4}, "rope_theta"),
        (LLAMA | {"rope_theta": 0}, "rope_theta"),
        (LLAMA | {"rope_theta": -5.0}, "rope_theta"),
        (LLAMA | {"sliding_window": 4096}, "sliding_window"),
        (LLAMA | {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        (LLAMA | {"mlp_bias": True}, "mlp_bias"),
        (LLAMA | {"hidden_act": "gelu"}, "hidden_act"),
        (LLAMA | {"head_dim": 64}, "head_dim"),
        (LLAMA | {"num_key_value_heads": 5}, "num_key_value_heads"),
        (LLAMA | {"num_attention_heads": 3}, "num_attention_heads"),
        (LLAMA | {"hidden_size": 96, "num_attention_heads": 32}, "hidden_size"),
        (LLAMA | {"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"emb_dim": 8, "n_heads": 2}, "vocab_size"),
        ({"emb_dim": 8, "surprise": 2}, "surprise"),
        ({"emb_dim": 8, "norm": "norm", "vocab_size": 9, "context_length": 8, "n_heads": 2, "n_layers": 1}, "norm"),
        ({"n_vocab": 9}, "n_ctx"),
    ],
)
def test_a_key_that_cannot_be_honoured_is_named(values: dict[str, Any], field: str) -> None:
    with pytest.raises(BadConfig) as refusal:
        read_config(values)
    assert refusal.value.field == field
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": 1, "a": 2}', "'a' stands there twice"),
        (b'{"a": ' + b"[" * 50_000, "no JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_what_is_no_json_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        parse(raw, "config.json")


def test_a_key_that_stands_twice_is_found_in_time() -> None:
    """Twice the keys took four times as long: minutes for the largest file that is read."""
    pairs = [f'"{number}": 1' for number in range(300_000)]
    started = time.process_time()
    with pytest.raises(BadConfig, match="'299999' stands there twice"):
        parse(("{" + ", ".join([*pairs, pairs[-1]]) + "}").encode(), "tokenizer.json")
    assert time.process_time() - started < 10


KEYS = ["vocab_size", "n_embd", "n_head", "n_layer", "n_inner", "hidden_size", "num_attention_heads", "rope_theta"]
KEYS += [
    "rms_norm_eps",
    "rope_parameters",
    "head_dim",
    "tie_word_embeddings",
    "architectures",
    "layer_types",
    "emb_dim",
]
odd = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["gpt2", "llama"]), st.dictionaries(st.sampled_from(KEYS), odd, max_size=5))
def test_any_values_make_a_network_or_are_refused(family: str, values: dict[str, Any]) -> None:
    try:
        config = read_config({"model_type": family} | values)
    except BadConfig:
        return
    assert config.emb_dim % config.n_heads == 0
