"""Small models in other programs' files, for tests of import and export."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.byte_alphabet import BYTE_OF
from app.llm.tokenizer.vocabulary import Vocabulary
from app.llm.weights.export import Exported, write_gguf, write_hugging_face

MERGES = ("h e", "l l", "Ġ s", "Ġs e", "Ġse a", "he ll", "hell o")
TOKENS = ("<|end|>", *BYTE_OF, *(merge.replace(" ", "") for merge in MERGES))
VOCABULARY = Vocabulary(TOKENS, [3] + [1] * (len(TOKENS) - 1), MERGES, "gpt-2", eos_id=0)
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}<|end|>"

_SMALL = dict(vocab_size=len(TOKENS), context_length=48, emb_dim=32, n_heads=4, n_layers=2)
_LLAMA = dict(norm="rmsnorm", position="rope", mlp="swiglu", hidden_dim=64, norm_eps=2**-17)
CONFIGS = {
    "gpt2": ModelConfig(**_SMALL, qkv_bias=True, tied=True, drop_rate=0.1, norm_eps=2**-16),
    "gpt2 untied, without biases": ModelConfig(**_SMALL, hidden_dim=96, norm_eps=2**-15),
    "llama": ModelConfig(**_SMALL, **_LLAMA, n_kv_heads=2, tied=True, rope_base=5000.0),
    "llama untied, with biases": ModelConfig(**_SMALL, **_LLAMA, qkv_bias=True),
}


def a_network(config: ModelConfig, seed: int = 5) -> Transformer:
    """A network whose weights are large enough for its logits to differ, biases and norms among them."""
    torch.manual_seed(seed)
    network = Transformer(config).eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.copy_(torch.randn_like(weight) * 0.2 + (1.0 if name.endswith("scale") else 0.0))
    return network


def exported(network: Transformer, **fields: Any) -> Exported:
    about = dict(vocabulary=VOCABULARY, eos_id=0, chat_template=TEMPLATE, licence="mit") | fields
    return Exported("tiny", network.config, dict(network.named_parameters()).__getitem__, **about)


def a_folder(place: Path, network: Transformer, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """A Hugging Face folder; `change` has its config.json before it is written."""
    place.mkdir(parents=True)
    write_hugging_face(place, exported(network), "F32")
    if change is not None:
        rewrite(place / "config.json", change)
    return place


def a_gguf(path: Path, network: Transformer) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(path, exported(network), "f32")
    return path


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def rewrite_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of a safetensors file, its bytes staying as they are."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    change(header)
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + content[8 + length :])
