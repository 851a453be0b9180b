"""The GPT-2 family's names: Hugging Face's, the released TensorFlow checkpoint's, and the book's.

In the first two a linear layer is a convolution of width 1 whose matrix lies as (in, out), and queries, keys and
values are one matrix.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.llm.config import ModelConfig
from app.llm.model.shapes import Shape
from app.llm.weights.layout import Layout, Slot

QKV = ("attention.query", "attention.key", "attention.value")


def hugging_face(config: ModelConfig, prefix: str = "transformer.") -> Layout:
    """`transformers`' names, of the model with a head; without `prefix` those of the bare model."""
    return [
        Slot(f"{prefix}wte.weight", ("token_embedding.weight",)),
        Slot(f"{prefix}wpe.weight", ("position_embedding.weight",)),
        *(slot for block in range(config.n_layers) for slot in _hugging_face_block(config, prefix, block)),
        *_norm(f"{prefix}ln_f", "final_norm", "weight", "bias"),
        *([] if config.tied else [Slot("lm_head.weight", ("output.weight",))]),
    ]


def _hugging_face_block(config: ModelConfig, prefix: str, block: int) -> Iterator[Slot]:
    place, ours = f"{prefix}h.{block}", f"blocks.{block}"
    yield from _norm(f"{place}.ln_1", f"{ours}.attention_norm", "weight", "bias")
    joined = _matrix(f"{place}.attn.c_attn", [f"{ours}.{part}" for part in QKV])
    yield from joined if config.qkv_bias else joined[:1]
    yield from _matrix(f"{place}.attn.c_proj", [f"{ours}.attention.out"])
    yield from _norm(f"{place}.ln_2", f"{ours}.feed_forward_norm", "weight", "bias")
    yield from _matrix(f"{place}.mlp.c_fc", [f"{ours}.feed_forward.up"])
    yield from _matrix(f"{place}.mlp.c_proj", [f"{ours}.feed_forward.down"])


def joined_biases(config: ModelConfig, prefix: str = "transformer.") -> dict[str, Shape]:
    """The biases of queries, keys and values, which the files always have and a network may be without."""
    return {f"{prefix}h.{block}.attn.c_attn.bias": joined_shape(config) for block in range(config.n_layers)}


def joined_shape(config: ModelConfig) -> Shape:
    """Of such a bias."""
    return ((config.n_heads + 2 * config.kv_heads) * config.head_dim,)


def is_no_weight(name: str) -> bool:
    """Whether it is one of the masks that older versions of `transformers` stored beside the weights."""
    return name.endswith((".attn.bias", ".attn.masked_bias"))


def released(config: ModelConfig) -> Layout:
    """The names of the checkpoint that OpenAI released; its head is always tied."""
    return [
        Slot("model/wte", ("token_embedding.weight",)),
        Slot("model/wpe", ("position_embedding.weight",)),
        *(slot for block in range(config.n_layers) for slot in _released_block(f"model/h{block}", f"blocks.{block}")),
        *_norm("model/ln_f", "final_norm", "g", "b", "/"),
    ]


def _released_block(place: str, ours: str) -> Iterator[Slot]:
    yield from _norm(f"{place}/ln_1", f"{ours}.attention_norm", "g", "b", "/")
    yield from _boxed(f"{place}/attn/c_attn", [f"{ours}.{part}" for part in QKV])
    yield from _boxed(f"{place}/attn/c_proj", [f"{ours}.attention.out"])
    yield from _norm(f"{place}/ln_2", f"{ours}.feed_forward_norm", "g", "b", "/")
    yield from _boxed(f"{place}/mlp/c_fc", [f"{ours}.feed_forward.up"])
    yield from _boxed(f"{place}/mlp/c_proj", [f"{ours}.feed_forward.down"])


def book(config: ModelConfig) -> Layout:
    """The names of the book's `GPTModel` (chapter 4), whose head is not tied."""
    return [
        Slot("tok_emb.weight", ("token_embedding.weight",)),
        Slot("pos_emb.weight", ("position_embedding.weight",)),
        *(slot for block in range(config.n_layers) for slot in _book_block(config, block)),
        *_norm("final_norm", "final_norm", "scale", "shift"),
        *([] if config.tied else [Slot("out_head.weight", ("output.weight",))]),
    ]


def _book_block(config: ModelConfig, block: int) -> Iterator[Slot]:
    place, ours = f"trf_blocks.{block}", f"blocks.{block}"
    for theirs, part in zip(("W_query", "W_key", "W_value"), QKV, strict=True):
        for kind in ("weight", "bias") if config.qkv_bias else ("weight",):
            yield Slot(f"{place}.att.{theirs}.{kind}", (f"{ours}.{part}.{kind}",))
    for theirs, part in (
        ("att.out_proj", "attention.out"),
        ("ff.layers.0", "feed_forward.up"),
        ("ff.layers.2", "feed_forward.down"),
    ):
        for kind in ("weight", "bias"):
            yield Slot(f"{place}.{theirs}.{kind}", (f"{ours}.{part}.{kind}",))
    yield from _norm(f"{place}.norm1", f"{ours}.attention_norm", "scale", "shift")
    yield from _norm(f"{place}.norm2", f"{ours}.feed_forward_norm", "scale", "shift")


def is_no_weight_of_the_book(name: str) -> bool:
    """Whether it is the mask that the book's attention registers as a buffer."""
    return name.endswith(".att.mask")


def _norm(theirs: str, ours: str, scale: str, shift: str, dot: str = ".") -> list[Slot]:
    return [Slot(f"{theirs}{dot}{scale}", (f"{ours}.scale",)), Slot(f"{theirs}{dot}{shift}", (f"{ours}.shift",))]


def _matrix(theirs: str, ours: list[str]) -> list[Slot]:
    return [
        Slot(f"{theirs}.weight", tuple(f"{name}.weight" for name in ours), transposed=True),
        Slot(f"{theirs}.bias", tuple(f"{name}.bias" for name in ours)),
    ]


def _boxed(theirs: str, ours: list[str]) -> list[Slot]:
    return [
        Slot(f"{theirs}/w", tuple(f"{name}.weight" for name in ours), transposed=True, boxed=True),
        Slot(f"{theirs}/b", tuple(f"{name}.bias" for name in ours)),
    ]
