"""The lessons' GPT as the network that the service runs: the same weights under its names.

Both give the same logits; what a lesson made can so be cached, served, trained and saved.
"""

from __future__ import annotations

from app.llm.config import ModelConfig
from app.llm.lessons.gpt import GPT
from app.llm.model.shell import without_weights
from app.llm.model.transformer import Transformer

BOOK_FIELDS = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers", "drop_rate", "qkv_bias")
PARTS = {
    "emb.tok_emb": "token_embedding",
    "emb.pos_emb": "position_embedding",
    "trf_blocks": "blocks",
    "out_head": "output",
    "att": "attention",
    "W_query": "query",
    "W_key": "key",
    "W_value": "value",
    "out_proj": "out",
    "ff.layers.0": "feed_forward.up",
    "ff.layers.2": "feed_forward.down",
    "norm1": "attention_norm",
    "norm2": "feed_forward_norm",
}
"""Parts of a lesson's names, and what the service calls them; all others are called alike."""


def as_network(gpt: GPT) -> Transformer:
    """The same model; its tensors are shared, not copied. It starts in training mode, as a new one does."""
    config = ModelConfig(**{field: getattr(gpt.config, field) for field in BOOK_FIELDS})
    with without_weights():  # they are there already
        network = Transformer(config)
    weights = {_service_name(name): parameter for name, parameter in gpt.named_parameters()}
    network.load_state_dict(weights, assign=True)
    return network


def _service_name(name: str) -> str:
    name = f".{name}."
    for part, other in PARTS.items():
        name = name.replace(f".{part}.", f".{other}.")
    return name.strip(".")
