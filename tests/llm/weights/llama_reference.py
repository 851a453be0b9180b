"""transformers' Llama with our weights: the reference that ours is compared with."""

from __future__ import annotations

from typing import Any

from app.llm.model.transformer import Transformer

NAMES = {
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


def copy_llama(transformers: Any, model: Transformer) -> Any:
    """A `LlamaForCausalLM` of the same configuration, holding the very tensors of `model`."""
    config = model.config
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.context_length,
            hidden_size=config.emb_dim,
            intermediate_size=config.mlp_dim,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.kv_heads,
            num_hidden_layers=config.n_layers,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_base},
            tie_word_embeddings=config.tied,
        )
    ).eval()
    ours = dict(model.named_parameters())
    weights = {
        "model.embed_tokens.weight": ours["token_embedding.weight"],
        "model.norm.weight": ours["final_norm.scale"],
    }
    weights["lm_head.weight"] = ours["token_embedding.weight" if config.tied else "output.weight"]
    for layer in range(config.n_layers):
        for our, their in NAMES.items():
            weights[f"model.layers.{layer}.{their}"] = ours[f"blocks.{layer}.{our}"]
    theirs.load_state_dict(weights, assign=True)
    return theirs
