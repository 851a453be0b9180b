"""The Llama family's names in Hugging Face's files."""

from __future__ import annotations

from app.llm.config import ModelConfig
from app.llm.model.shapes import Shape
from app.llm.weights.layout import Layout, Slot

_OF_BLOCK = {  # our names of a block's weights, theirs
    "attention_norm.scale": "input_layernorm.weight",
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.out.weight": "self_attn.o_proj.weight",
    "feed_forward_norm.scale": "post_attention_layernorm.weight",
    "feed_forward.gate.weight": "mlp.gate_proj.weight",
    "feed_forward.up.weight": "mlp.up_proj.weight",
    "feed_forward.down.weight": "mlp.down_proj.weight",
}
_BIASES = {
    "attention.query.bias": "self_attn.q_proj.bias",
    "attention.key.bias": "self_attn.k_proj.bias",
    "attention.value.bias": "self_attn.v_proj.bias",
}


def hugging_face(config: ModelConfig, prefix: str = "model.") -> Layout:
    """`transformers`' names, of the model with a head; without `prefix` those of the bare model."""
    of_block = _OF_BLOCK | (_BIASES if config.qkv_bias else {})
    return [
        Slot(f"{prefix}embed_tokens.weight", ("token_embedding.weight",)),
        *(
            Slot(f"{prefix}layers.{block}.{theirs}", (f"blocks.{block}.{ours}",))
            for block in range(config.n_layers)
            for ours, theirs in of_block.items()
        ),
        Slot(f"{prefix}norm.weight", ("final_norm.scale",)),
        *([] if config.tied else [Slot("lm_head.weight", ("output.weight",))]),
    ]


def output_biases(config: ModelConfig, prefix: str = "model.") -> dict[str, Shape]:
    """The biases of attention's output, which `attention_bias` brings along and our network has not."""
    return {f"{prefix}layers.{block}.self_attn.o_proj.bias": (config.emb_dim,) for block in range(config.n_layers)}


def is_no_weight(name: str) -> bool:
    """Whether it is one of the tables of rotary angles that older versions of `transformers` stored."""
    return name.endswith(".rotary_emb.inv_freq")
