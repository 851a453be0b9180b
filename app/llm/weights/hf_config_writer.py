"""A `ModelConfig` to the `config.json` that `transformers` reads as the same network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from app.llm.config import ModelConfig
from app.llm.errors import BadConfig
from app.llm.weights.hf_config import WITHOUT_QKV_BIAS


def write_config(config: ModelConfig, dtype: str, ids: Mapping[str, int]) -> dict[str, Any]:
    """What `transformers` reads as the same network.

    Args:
        dtype: of the weights in the file, in torch's words.
        ids: `bos_token_id` and `eos_token_id`, where there are such.

    Raises:
        BadConfig: the network is of neither family.
    """
    common = {"vocab_size": config.vocab_size, "tie_word_embeddings": config.tied, "dtype": dtype, "use_cache": True}
    ends: dict[str, int | None] = {"bos_token_id": None, "eos_token_id": None}
    if family_of(config) == "gpt2":
        special = {} if config.qkv_bias else {WITHOUT_QKV_BIAS: True}
        drop = config.drop_rate
        return {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "n_positions": config.context_length,
            "n_embd": config.emb_dim,
            "n_layer": config.n_layers,
            "n_head": config.n_heads,
            "n_inner": config.mlp_dim,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": config.norm_eps,
            **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), drop),
            **(common | ends | dict(ids) | special),
        }
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "max_position_embeddings": config.context_length,
        "hidden_size": config.emb_dim,
        "intermediate_size": config.mlp_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
        "attention_bias": config.qkv_bias,
        "mlp_bias": False,
        "attention_dropout": config.drop_rate,
        **(common | ends | dict(ids)),
    }


def family_of(config: ModelConfig) -> Literal["gpt2", "llama"]:
    """The family whose files can hold the network.

    Raises:
        BadConfig: it mixes parts of both.
    """
    parts = (config.position, config.norm, config.mlp)
    if parts == ("learned", "layernorm", "gelu") and config.kv_heads == config.n_heads:
        return "gpt2"
    if parts == ("rope", "rmsnorm", "swiglu"):
        return "llama"
    raise BadConfig("config", f"a network of {', '.join(parts)} is of neither family, and no such file can hold it")
