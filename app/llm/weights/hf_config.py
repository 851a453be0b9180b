"""`config.json` of Hugging Face's GPT-2 and Llama families, and of the book's kind, to a `ModelConfig`.

A key that changes what a network computes is honoured or refused, by its name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from app.llm.config import ModelConfig
from app.llm.errors import BadConfig

MAX_BYTES = 4 * 1024 * 1024
WITHOUT_QKV_BIAS = "inkling_without_qkv_bias"
"""Our own key in an exported GPT-2: its biases of queries, keys and values are zero because the network has none."""

_ABSENT = object()
_ONLY: dict[str, tuple[Any, ...]] = {  # keys that would change the numbers, and the values that leave them as they are
    "add_cross_attention": (False,),
    "attention_multiplier": (),
    "attn_logit_softcapping": (None,),
    "auto_map": (),
    "embedding_multiplier": (1, 1.0),
    "final_logit_softcapping": (None,),
    "is_encoder_decoder": (False,),
    "logit_scale": (1, 1.0),
    "logits_scaling": (1, 1.0),
    "mlp_bias": (False,),
    "num_experts": (None, 0),
    "num_local_experts": (None, 0),
    "partial_rotary_factor": (1, 1.0),
    "quantization_config": (None,),
    "residual_multiplier": (1, 1.0),
    "rope_interleaved": (False,),
    "rope_scaling": (None,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
    "sliding_window": (None,),
    "use_sliding_window": (False,),
}
_ARCHITECTURES = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Model"),
    "llama": ("LlamaForCausalLM", "LlamaModel"),
}


def parse(raw: bytes, name: str) -> dict[str, Any]:
    """A JSON object of a model's folder.

    Raises:
        BadConfig: it is none, or holds NaN or infinity, or a key twice.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
            raise BadConfig(name, f"the key {twice[:100]!r} stands there twice")
        return found

    def refuse(word: str) -> None:
        raise BadConfig(name, f"{word} is no number")

    try:
        value = json.loads(raw, object_pairs_hook=unique, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except BadConfig:
        raise
    except UnicodeEncodeError as error:
        raise BadConfig(name, "holds a lone surrogate, which is no text") from error
    except (ValueError, RecursionError) as error:
        raise BadConfig(name, f"is no JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise BadConfig(name, "is no JSON object")
    return value


def read_config(values: Mapping[str, Any]) -> ModelConfig:
    """The network that a configuration tells of.

    Raises:
        BadConfig: which names the key that is missing, of the wrong kind, or asks for what our network cannot do.
    """
    if "emb_dim" in values:
        return _own(values)
    if "n_vocab" in values:
        return _released(values)
    family = values.get("model_type")
    if not isinstance(family, str) or family not in _ARCHITECTURES:
        raise BadConfig("model_type", f"{_shown(family)} is not read, only gpt2 and llama are")
    named = values.get("architectures")
    if isinstance(named, list) and not (named and all(one in _ARCHITECTURES[family] for one in named)):
        raise BadConfig("architectures", f"{_shown(named)} is not read, only {', '.join(_ARCHITECTURES[family])} are")
    for key, allowed in _ONLY.items():
        if key in values and not any(values[key] is one or values[key] == one for one in allowed):
            raise BadConfig(key, f"{_shown(values[key])} is not read: our network has nothing of the kind")
    kinds = values.get("layer_types") or []
    if not isinstance(kinds, list) or any(one != "full_attention" for one in kinds):
        raise BadConfig("layer_types", "only full_attention is read")
    return _gpt2(values) if family == "gpt2" else _llama(values)


def _gpt2(values: Mapping[str, Any]) -> ModelConfig:
    width = _int(values, "n_embd", 768)
    activation = values.get("activation_function", "gelu_new")
    if activation not in ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"):
        raise BadConfig("activation_function", f"{_shown(activation)} is not read, only gelu_new is")
    inner = None if values.get("n_inner") is None else _int(values, "n_inner")
    return _checked(
        {
            "vocab_size": "vocab_size",
            "context_length": "n_positions",
            "emb_dim": "n_embd",
            "n_heads": "n_head",
            "n_layers": "n_layer",
            "hidden_dim": "n_inner",
            "norm_eps": "layer_norm_epsilon",
            "drop_rate": "resid_pdrop",
        },
        vocab_size=_int(values, "vocab_size", 50_257),
        context_length=_int(values, "n_positions", 1024),
        emb_dim=width,
        n_heads=_int(values, "n_head", 12),
        n_layers=_int(values, "n_layer", 12),
        hidden_dim=inner,
        drop_rate=_float(values, "resid_pdrop", 0.1),
        norm_eps=_float(values, "layer_norm_epsilon", 1e-5),
        qkv_bias=not _bool(values, WITHOUT_QKV_BIAS, default=False),
        tied=_bool(values, "tie_word_embeddings", default=True),
    )


def _llama(values: Mapping[str, Any]) -> ModelConfig:
    if (activation := values.get("hidden_act", "silu")) != "silu":
        raise BadConfig("hidden_act", f"{_shown(activation)} is not read, only silu is")
    heads = _int(values, "num_attention_heads", 32)
    config = _checked(
        {
            "vocab_size": "vocab_size",
            "context_length": "max_position_embeddings",
            "emb_dim": "hidden_size",
            "n_heads": "num_attention_heads",
            "n_layers": "num_hidden_layers",
            "n_kv_heads": "num_key_value_heads",
            "hidden_dim": "intermediate_size",
            "norm_eps": "rms_norm_eps",
            "rope_base": "rope_theta",
            "drop_rate": "attention_dropout",
        },
        vocab_size=_int(values, "vocab_size", 32_000),
        context_length=_int(values, "max_position_embeddings", 2048),
        emb_dim=_int(values, "hidden_size", 4096),
        n_heads=heads,
        n_layers=_int(values, "num_hidden_layers", 32),
        n_kv_heads=heads if values.get("num_key_value_heads") is None else _int(values, "num_key_value_heads"),
        hidden_dim=_int(values, "intermediate_size", 11_008),
        norm="rmsnorm",
        position="rope",
        mlp="swiglu",
        drop_rate=_float(values, "attention_dropout", 0.0),
        norm_eps=_float(values, "rms_norm_eps", 1e-6),
        rope_base=_rope_base(values),
        qkv_bias=_bool(values, "attention_bias", default=False),
        tied=_bool(values, "tie_word_embeddings", default=False),
    )
    if values.get("head_dim") not in (None, config.head_dim):
        raise BadConfig("head_dim", f"{_shown(values['head_dim'])} where hidden_size by heads is {config.head_dim}")
    return config


def _rope_base(values: Mapping[str, Any]) -> float:
    """`rope_theta`, beside the other keys or (since transformers 5) among `rope_parameters`."""
    inner = values.get("rope_parameters")
    if inner is None:
        return _float(values, "rope_theta", 10_000.0)
    if not isinstance(inner, dict):
        raise BadConfig("rope_parameters", "must be an object")
    for key, only in (("rope_type", "default"), ("partial_rotary_factor", 1)):
        if inner.get(key, only) != only:
            raise BadConfig(f"rope_parameters.{key}", f"{_shown(inner[key])} is not read: only {only} is")
    odd = inner.keys() - {"rope_type", "partial_rotary_factor", "rope_theta"}
    if odd:
        raise BadConfig(f"rope_parameters.{sorted(odd)[0][:60]}", "is not read: rotary positions are not scaled here")
    base = _float(inner, "rope_theta", 10_000.0)
    if "rope_theta" in values and _float(values, "rope_theta") != base:
        raise BadConfig("rope_theta", f"{values['rope_theta']!r}, but {base!r} among rope_parameters")
    return base


def _released(values: Mapping[str, Any]) -> ModelConfig:
    """`hparams.json` of the released checkpoint."""
    return _checked(
        {"vocab_size": "n_vocab", "context_length": "n_ctx", "emb_dim": "n_embd", "n_heads": "n_head"}
        | {"n_layers": "n_layer"},
        vocab_size=_int(values, "n_vocab"),
        context_length=_int(values, "n_ctx"),
        emb_dim=_int(values, "n_embd"),
        n_heads=_int(values, "n_head"),
        n_layers=_int(values, "n_layer"),
        drop_rate=0.1,
        qkv_bias=True,
        tied=True,
    )


def _own(values: Mapping[str, Any]) -> ModelConfig:
    """The book's names, ours among them."""
    known = {field.name: field.type for field in fields(ModelConfig)}
    if odd := sorted(values.keys() - known):
        raise BadConfig(odd[0][:100], "is no field of a network's configuration")
    read: dict[str, Any] = {}
    for name, value in values.items():
        kind = known[name]
        if "int" in str(kind):
            read[name] = None if value is None else _int(values, name)
        elif kind == "float":
            read[name] = _float(values, name)
        elif kind == "bool":
            read[name] = _bool(values, name, default=False)
        elif not isinstance(value, str) or repr(value) not in str(kind):
            raise BadConfig(name, f"{_shown(value)} is not one of {kind}")
        else:
            read[name] = value
    for name in ("vocab_size", "context_length", "n_heads", "n_layers"):
        _int(values, name)
    return _checked({}, **read)


def _checked(theirs: Mapping[str, str], **values: Any) -> ModelConfig:
    """The configuration, or a refusal in the words of the file."""
    try:
        return ModelConfig(**values)
    except BadConfig as error:
        raise BadConfig(theirs.get(error.field, error.field), error.reason) from error


def _int(values: Mapping[str, Any], key: str, default: object = _ABSENT) -> int:
    value = values.get(key, default)
    if value is _ABSENT:
        raise BadConfig(key, "is missing")
    if type(value) is not int or not 0 < value < 1 << 31:
        raise BadConfig(key, f"must be a whole number above 0, not {_shown(value)}")
    return value


def _float(values: Mapping[str, Any], key: str, default: object = _ABSENT) -> float:
    value = values.get(key, default)
    if type(value) not in (int, float) or not 0 <= value < 1e30:
        raise BadConfig(key, f"must be a number, not {_shown(value)}")
    return float(value)


def _bool(values: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = values.get(key, default)
    if type(value) is not bool:
        raise BadConfig(key, f"must be true or false, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    try:
        return repr(value)[:100]
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"
