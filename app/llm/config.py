"""Frozen configurations, checked when made: networks, sampling, LoRA. Free of torch.

Names are the book's: vocab_size, context_length, emb_dim, n_heads, n_layers, drop_rate, qkv_bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.llm.errors import BadConfig

Dtype = Literal["float32", "bfloat16", "int8", "int4"]
"""How weights lie in memory while text is generated."""

Reads = Literal["last_token", "last_place", "first_token"]
"""Off which token's state a classifier reads the classes."""

MAX_CLASSES = 1000

MAX_DIM = 1 << 20  # bounds absurd configurations before anything is allocated


def check_int(field: str, value: int, low: int, high: int = MAX_DIM) -> None:
    """Pass a whole number from `low` to `high`.

    Raises:
        BadConfig: it is none; `field` says where.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadConfig(field, f"must be a whole number from {low} to {high}, not {value!r}")


@dataclass(frozen=True)
class ModelConfig:
    """The shape of one decoder of the GPT-2 or Llama family (chapter 4; Touvron et al. 2023 for the latter).

    `norm`, `position` and `mlp` choose the family's parts: GPT-2 is layernorm, learned, gelu; Llama is
    rmsnorm, rope, swiglu. Linear layers carry a bias where `norm` is layernorm, q, k, v only with `qkv_bias`.
    """

    vocab_size: int
    context_length: int
    emb_dim: int
    n_heads: int
    n_layers: int
    drop_rate: float = 0.0
    qkv_bias: bool = False
    n_kv_heads: int | None = None
    hidden_dim: int | None = None
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    position: Literal["learned", "rope"] = "learned"
    mlp: Literal["gelu", "swiglu"] = "gelu"
    tied: bool = False
    norm_eps: float = 1e-5
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        for field in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"):
            check_int(field, getattr(self, field), 1)
        object.__setattr__(self, "n_kv_heads", self.kv_heads)
        object.__setattr__(self, "hidden_dim", self.mlp_dim)
        check_int("n_kv_heads", self.kv_heads, 1)
        check_int("hidden_dim", self.mlp_dim, 1)
        if self.emb_dim % self.n_heads:
            raise BadConfig("n_heads", f"{self.n_heads} heads do not divide emb_dim {self.emb_dim}")
        if self.n_heads % self.kv_heads:
            raise BadConfig("n_kv_heads", f"{self.kv_heads} does not divide n_heads {self.n_heads}")
        if self.position == "rope" and self.head_dim % 2:
            raise BadConfig("emb_dim", f"rotary positions need an even head size, not {self.head_dim}")
        if not 0.0 <= self.drop_rate < 1.0:
            raise BadConfig("drop_rate", f"must be from 0 to below 1, not {self.drop_rate!r}")
        if not (math.isfinite(self.norm_eps) and self.norm_eps > 0):
            raise BadConfig("norm_eps", f"must be above 0, not {self.norm_eps!r}")
        if not (math.isfinite(self.rope_base) and self.rope_base > 0):
            raise BadConfig("rope_base", f"must be above 0, not {self.rope_base!r}")

    @property
    def kv_heads(self) -> int:
        """Key and value heads, as a number (`n_kv_heads` may be given as None)."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def mlp_dim(self) -> int:
        """Width of the feed-forward layer, as a number."""
        return 4 * self.emb_dim if self.hidden_dim is None else self.hidden_dim

    @property
    def head_dim(self) -> int:
        return self.emb_dim // self.n_heads

    @property
    def family(self) -> Literal["gpt2", "llama"]:
        return "gpt2" if self.position == "learned" else "llama"

    def check_book_parts(self) -> None:
        """Pass a configuration of the book's GPT.

        Raises:
            BadConfig: a part of it is another family's, or the head is tied.
        """
        for field, wanted in (("norm", "layernorm"), ("position", "learned"), ("mlp", "gelu"), ("tied", False)):
            if (found := getattr(self, field)) != wanted:
                raise BadConfig(field, f"the book's network has {wanted!r}, not {found!r}")
        if self.kv_heads != self.n_heads:
            raise BadConfig("n_kv_heads", "the book's network has a key and a value for each head")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


_GPT2 = dict(context_length=1024, drop_rate=0.1, qkv_bias=True, tied=True)  # what the released sizes have in common

PRESETS: dict[str, dict[str, Any]] = {
    # name: everything but vocab_size, which the tokenizer gives
    "gpt-tiny": dict(context_length=64, emb_dim=64, n_heads=4, n_layers=2, drop_rate=0.0, tied=True),
    "gpt-mini": dict(context_length=128, emb_dim=128, n_heads=4, n_layers=4, drop_rate=0.1, tied=True),
    "gpt-small": dict(context_length=256, emb_dim=384, n_heads=6, n_layers=6, drop_rate=0.1, tied=True),
    "gpt2-124m": dict(_GPT2, emb_dim=768, n_heads=12, n_layers=12),
    "gpt2-355m": dict(_GPT2, emb_dim=1024, n_heads=16, n_layers=24),
    "gpt2-774m": dict(_GPT2, emb_dim=1280, n_heads=20, n_layers=36),
    "gpt2-1558m": dict(_GPT2, emb_dim=1600, n_heads=25, n_layers=48),
    "llama-tiny": dict(
        context_length=64,
        emb_dim=64,
        n_heads=4,
        n_kv_heads=2,
        n_layers=2,
        hidden_dim=192,
        tied=True,
        norm="rmsnorm",
        position="rope",
        mlp="swiglu",
    ),
}


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is drawn from the logits (chapter 5). Temperature 0 is greedy.

    `presence_penalty` is taken once from the logit of each token already written, `frequency_penalty` as often as it
    was (OpenAI's; the prompt does not count); `logit_bias` is added to the logits of the tokens it names.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int = 0
    top_logprobs: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        check_int("max_new_tokens", self.max_new_tokens, 0)
        if not 0.0 <= self.temperature <= 100.0:  # also refuses NaN
            raise BadConfig("temperature", f"must be from 0 to 100, not {self.temperature!r}")
        if self.top_k is not None:
            check_int("top_k", self.top_k, 1)
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise BadConfig("top_p", f"must be above 0 and at most 1, not {self.top_p!r}")
        if self.min_p is not None and not 0.0 <= self.min_p <= 1.0:
            raise BadConfig("min_p", f"must be from 0 to 1, not {self.min_p!r}")
        if not 0.0 < self.repetition_penalty <= 100.0:
            raise BadConfig("repetition_penalty", f"must be above 0 and at most 100, not {self.repetition_penalty!r}")
        check_int("seed", self.seed, 0, 2**63 - 1)
        check_int("top_logprobs", self.top_logprobs, 0, 20)
        for name in ("presence_penalty", "frequency_penalty"):
            if not -2.0 <= getattr(self, name) <= 2.0:
                raise BadConfig(name, f"must be from -2 to 2, not {getattr(self, name)!r}")
        for token_id, bias in self.logit_bias:
            check_int("logit_bias", token_id, 0)
            if not -100.0 <= bias <= 100.0:
                raise BadConfig("logit_bias", f"must be from -100 to 100, not {bias!r}")


LINEAR_LAYERS = ("query", "key", "value", "out", "gate", "up", "down", "head")
"""Names of linear layers that LoRA can stand beside: attention's, the feed-forward layer's, a classifier's head."""


@dataclass(frozen=True)
class LoRAConfig:
    """How narrow the matrices are that learn beside each frozen layer, and how much they count (appendix E).

    `dropout` is of what the first of the two reads. `targets` names the layers; None: all linear ones.
    """

    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_int("rank", self.rank, 1, 4096)
        if not 0.0 < self.alpha <= 1e6:  # also refuses NaN
            raise BadConfig("alpha", f"must be above 0 and at most 1,000,000, not {self.alpha!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise BadConfig("dropout", f"must be from 0 to below 1, not {self.dropout!r}")
        if self.targets is None:
            return
        object.__setattr__(self, "targets", tuple(self.targets))
        if not self.targets:
            raise BadConfig("targets", "must name a layer; leave it out for all linear ones")
        for name in self.targets:
            if name not in LINEAR_LAYERS:
                raise BadConfig("targets", f"there are no layers called {name!r:.100}; {', '.join(LINEAR_LAYERS)} are")
        if len(set(self.targets)) != len(self.targets):
            raise BadConfig("targets", "names a layer twice")


@dataclass(frozen=True)
class Word2VecConfig:
    """The shape of word vectors: one of `emb_dim` numbers for each token."""

    vocab_size: int
    emb_dim: int = 100

    def __post_init__(self) -> None:
        check_int("vocab_size", self.vocab_size, 1)
        check_int("emb_dim", self.emb_dim, 1, 4096)

    @property
    def family(self) -> Literal["word2vec"]:
        return "word2vec"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ClassifierConfig:
    """The shape of a classifier: a network whose vocabulary's head gave way to one of classes, and how it reads.

    `threshold`, of two classes: from which probability on the second one is told; None: the likelier one is. With
    `lora` the body's weights are those of the network it began as, and what was learnt stands beside its layers.
    """

    body: ModelConfig
    classes: tuple[str, ...]
    reads: Reads
    max_tokens: int
    pad_id: int
    threshold: float | None = None
    lora: LoRAConfig | None = None

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= MAX_CLASSES or len(set(self.classes)) != len(self.classes):
            raise BadConfig("classes", f"must be 2 to {MAX_CLASSES} different names, not {len(self.classes)}")
        check_int("max_tokens", self.max_tokens, 1, self.body.context_length)
        check_int("pad_id", self.pad_id, 0, self.body.vocab_size - 1)
        if self.threshold is not None and (len(self.classes) != 2 or not 0.0 <= self.threshold <= 1.0):
            raise BadConfig("threshold", "is a probability, and for two classes only")

    @property
    def family(self) -> Literal["classifier"]:
        return "classifier"

    @property
    def vocab_size(self) -> int:
        return self.body.vocab_size

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class AdapterConfig:
    """What LoRA learnt beside the layers of a network that stays as it is: that network's shape and hash, and how."""

    body: ModelConfig
    lora: LoRAConfig
    base_sha256: str
    """Of the base's file of weights: beside others the adapter means nothing."""

    def __post_init__(self) -> None:
        for name in self.lora.targets or ():
            if name not in self.targets:
                there = ", ".join(adaptable(self.body))
                raise BadConfig("targets", f"the network has no linear layers called {name}; it has {there}")

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the layers of a block that have LoRA beside them, in the order of the block."""
        wanted = self.lora.targets
        return tuple(name for name in adaptable(self.body) if wanted is None or name in wanted)

    @property
    def family(self) -> Literal["adapter"]:
        return "adapter"

    @property
    def vocab_size(self) -> int:
        return self.body.vocab_size

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def adaptable(config: ModelConfig) -> tuple[str, ...]:
    """Names of a block's linear layers."""
    gate = ("gate",) if config.mlp == "swiglu" else ()
    return ("query", "key", "value", "out", *gate, "up", "down")


NetworkConfig = ModelConfig | Word2VecConfig | ClassifierConfig | AdapterConfig


def network_config(family: str, fields: Mapping[str, Any]) -> NetworkConfig:
    """The configuration that `to_dict` of a network of `family` gave.

    Raises:
        TypeError: a field is missing or unknown.
        BadConfig: the values do not fit together.
    """
    if family == "word2vec":
        return Word2VecConfig(**fields)
    if family == "adapter":
        shape, how = ModelConfig(**fields["body"]), LoRAConfig(**fields["lora"])
        return AdapterConfig(**{**fields, "body": shape, "lora": how})
    if family == "classifier":
        body, classes, lora = ModelConfig(**fields["body"]), tuple(fields["classes"]), fields.get("lora")
        beside = LoRAConfig(**lora) if lora is not None else None
        return ClassifierConfig(**{**fields, "body": body, "classes": classes, "lora": beside})
    return ModelConfig(**fields)
