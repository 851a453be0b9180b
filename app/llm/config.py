"""Frozen configurations, checked when made: the network, sampling, training. Free of torch.

Names are the book's: vocab_size, context_length, emb_dim, n_heads, n_layers, drop_rate, qkv_bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from app.llm.errors import BadConfig

Dtype = Literal["float32", "bfloat16", "int8", "int4"]
"""How weights lie in memory while text is generated."""

Precision = Literal["float32", "bfloat16"]
"""In what matrix products are taken while a network learns."""

Reads = Literal["last_token", "last_place", "first_token"]
"""Off which token's state a classifier reads the classes."""

MAX_CLASSES = 1000

MAX_DIM = 1 << 20  # bounds absurd configurations before anything is allocated


def _check_int(field: str, value: int, low: int, high: int = MAX_DIM) -> None:
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
            _check_int(field, getattr(self, field), 1)
        object.__setattr__(self, "n_kv_heads", self.kv_heads)
        object.__setattr__(self, "hidden_dim", self.mlp_dim)
        _check_int("n_kv_heads", self.kv_heads, 1)
        _check_int("hidden_dim", self.mlp_dim, 1)
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
        _check_int("max_new_tokens", self.max_new_tokens, 0)
        if not 0.0 <= self.temperature <= 100.0:  # also refuses NaN
            raise BadConfig("temperature", f"must be from 0 to 100, not {self.temperature!r}")
        if self.top_k is not None:
            _check_int("top_k", self.top_k, 1)
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise BadConfig("top_p", f"must be above 0 and at most 1, not {self.top_p!r}")
        if self.min_p is not None and not 0.0 <= self.min_p <= 1.0:
            raise BadConfig("min_p", f"must be from 0 to 1, not {self.min_p!r}")
        if not 0.0 < self.repetition_penalty <= 100.0:
            raise BadConfig("repetition_penalty", f"must be above 0 and at most 100, not {self.repetition_penalty!r}")
        _check_int("seed", self.seed, 0, 2**63 - 1)
        _check_int("top_logprobs", self.top_logprobs, 0, 20)
        for name in ("presence_penalty", "frequency_penalty"):
            if not -2.0 <= getattr(self, name) <= 2.0:
                raise BadConfig(name, f"must be from -2 to 2, not {getattr(self, name)!r}")
        for token_id, bias in self.logit_bias:
            _check_int("logit_bias", token_id, 0)
            if not -100.0 <= bias <= 100.0:
                raise BadConfig("logit_bias", f"must be from -100 to 100, not {bias!r}")


@dataclass(frozen=True)
class LoRAConfig:
    """How narrow the matrices are that learn beside each frozen layer, and how much they count (appendix E)."""

    rank: int = 16
    alpha: float = 16.0

    def __post_init__(self) -> None:
        _check_int("rank", self.rank, 1, 4096)
        if not 0.0 < self.alpha <= 1e6:  # also refuses NaN
            raise BadConfig("alpha", f"must be above 0 and at most 1,000,000, not {self.alpha!r}")


@dataclass(frozen=True)
class LoopConfig:
    """What the training loop itself goes by, whatever is trained (chapter 5 and appendix D).

    At most one of `max_steps` and `epochs` counts; with neither, `default_epochs`. A step is an update: the gradient
    of `accumulate` batches, averaged. `precision` is that of the products, by autocast; weights and optimizer are
    float32 always. With a `patience` the run ends once so many evaluations in a row brought no validation loss that
    is lower than the best by more than `min_improvement`; with `max_rise` it fails once one lies so far above the best.
    """

    default_epochs: ClassVar[int] = 1

    max_steps: int | None = None
    epochs: int | None = None
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 5e-4
    min_learning_rate: float = 0.0
    weight_decay: float = 0.1
    warmup_steps: int = 0
    grad_clip: float | None = 1.0
    precision: Precision = "float32"
    compile: bool = False
    eval_every: int = 20
    eval_offset: int = 0  # steps by which evaluations come later: the book's first one is after step 1
    eval_batches: int = 8
    patience: int | None = None
    min_improvement: float = 0.0
    max_rise: float | None = None
    sample_every: int = 50
    sample_prompt: str = "The"
    checkpoint_every: int = 100
    keep_checkpoints: int = 2  # the newest ones
    keep_best: bool = True  # the one with the lowest validation loss, beside them

    def __post_init__(self) -> None:
        if self.max_steps is not None and self.epochs is not None:
            raise BadConfig("epochs", "give either max_steps or epochs, not both")
        for field in ("max_steps", "epochs"):
            if getattr(self, field) is not None:
                _check_int(field, getattr(self, field), 1, 10**9)
        for field in ("batch_size", "eval_every", "eval_batches", "sample_every", "checkpoint_every"):
            _check_int(field, getattr(self, field), 1)
        _check_int("accumulate", self.accumulate, 1, 10**6)
        _check_int("eval_offset", self.eval_offset, 0, self.eval_every - 1)
        _check_int("keep_checkpoints", self.keep_checkpoints, 1, 100)
        if self.patience is not None:
            _check_int("patience", self.patience, 1, 10**9)
        _check_int("warmup_steps", self.warmup_steps, 0, 10**9)
        if not 0.0 < self.learning_rate <= 10.0:
            raise BadConfig("learning_rate", f"must be above 0 and at most 10, not {self.learning_rate!r}")
        if not 0.0 <= self.min_learning_rate <= self.learning_rate:
            raise BadConfig("min_learning_rate", f"must be from 0 to learning_rate, not {self.min_learning_rate!r}")
        if not 0.0 <= self.weight_decay <= 10.0:
            raise BadConfig("weight_decay", f"must be from 0 to 10, not {self.weight_decay!r}")
        if self.grad_clip is not None and not 0.0 < self.grad_clip <= 1e6:
            raise BadConfig("grad_clip", f"must be above 0, not {self.grad_clip!r}")
        if self.precision not in get_args(Precision):
            raise BadConfig("precision", f"must be float32 or bfloat16, not {self.precision!r}")
        if not 0.0 <= self.min_improvement <= 1e6:
            raise BadConfig("min_improvement", f"must be from 0 to 1,000,000, not {self.min_improvement!r}")
        if self.max_rise is not None and not 0.0 < self.max_rise <= 1e6:
            raise BadConfig("max_rise", f"must be above 0 and at most 1,000,000, not {self.max_rise!r}")
        if self.min_improvement and self.patience is None:
            raise BadConfig("min_improvement", "counts for `patience` alone: give both")

    def with_steps(self, max_steps: int) -> Self:
        """The same run, its length said in steps."""
        return replace(self, max_steps=max_steps, epochs=None)

    def steps(self, batches_an_epoch: int) -> int:
        """Updates of the run; batches at the end of its epochs that make no whole one are left out."""
        batches = (self.epochs or self.default_epochs) * batches_an_epoch
        return self.max_steps or max(1, batches // self.accumulate)


@dataclass(frozen=True)
class TrainConfig(LoopConfig):
    """One run on windows of text (chapter 5).

    `trainable` names which weights learn: all, or the last block with the final norm (the head too, where it is
    not tied to the embedding). `order` says whence chance comes: from the seed, for each step apart, or as in the book,
    where starting weights, an epoch's order, dropout and evaluations draw from one generator, one after the other.
    """

    context_length: int | None = None  # tokens a window; None: the model's own, at most 256
    stride: int | None = None  # None: the window's length, so that no token is seen twice an epoch
    trainable: Literal["all", "last_block"] = "all"
    order: Literal["seeded", "book"] = "seeded"
    sample_tokens: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("context_length", "stride"):
            if getattr(self, field) is not None:
                _check_int(field, getattr(self, field), 1, 10**9)
        _check_int("sample_tokens", self.sample_tokens, 1)
        if self.order == "book" and self.accumulate != 1:  # an epoch's chance is drawn between two updates
            raise BadConfig("accumulate", "in the book's order a step has one batch")
        if not self.sample_prompt.strip():
            raise BadConfig("sample_prompt", "must hold some text")


@dataclass(frozen=True)
class ClassifyConfig(LoopConfig):
    """One run on labelled texts (chapter 6).

    `trainable`: the class head alone, with it the last block and the final norm (the book's choice), or all weights.
    `reads`: the token whose state the classes are read off. `last_place` is the book's: the last one of texts that are
    all filled up to one length, `last_token` the last one that is the text's own, `first_token` exercise 6.3's.
    """

    default_epochs: ClassVar[int] = 5

    learning_rate: float = 5e-5
    min_learning_rate: float = 5e-5
    grad_clip: float | None = None
    eval_every: int = 50
    eval_batches: int = 1000  # all of what is kept back, nearly always
    sample_every: int = 100
    sample_prompt: str = ""  # no text is written
    trainable: Literal["head", "last_block", "all"] = "last_block"
    reads: Reads = "last_token"
    max_tokens: int | None = None  # what is longer is cut; None: the longest text to learn from, at most the context
    balanced: bool = False  # of each class as many texts as of the smallest

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_tokens is not None:
            _check_int("max_tokens", self.max_tokens, 1)


@dataclass(frozen=True)
class SkipGramConfig(LoopConfig):
    """One run of word2vec: words predict the words around them, against words drawn by chance (Mikolov et al. 2013).

    A batch has `batch_size` words in the middle. `sample_prompt` holds the words whose neighbours are shown; the
    most frequent ones where it is empty.
    """

    default_epochs: ClassVar[int] = 5

    batch_size: int = 256
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    eval_every: int = 100
    sample_every: int = 200
    sample_prompt: str = ""
    checkpoint_every: int = 500
    window: int = 5  # words to each side, at most; how many is drawn for each word
    negatives: int = 5  # words drawn by chance for each pair
    subsample: float | None = 1e-3  # words more frequent than this share of the text are left out at times

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_int("window", self.window, 1, 100)
        _check_int("negatives", self.negatives, 1, 100)
        if self.subsample is not None and not 0.0 < self.subsample <= 1.0:
            raise BadConfig("subsample", f"must be above 0 and at most 1, not {self.subsample!r}")
        if self.precision != "float32":
            raise BadConfig("precision", "word2vec has no matrix products and learns in float32")

    @property
    def window_length(self) -> int:
        """Inputs of a window that has `window` words to each side of its middle, the last of them its target."""
        return 2 * self.window


@dataclass(frozen=True)
class Word2VecConfig:
    """The shape of word vectors: one of `emb_dim` numbers for each token."""

    vocab_size: int
    emb_dim: int = 100

    def __post_init__(self) -> None:
        _check_int("vocab_size", self.vocab_size, 1)
        _check_int("emb_dim", self.emb_dim, 1, 4096)

    @property
    def family(self) -> Literal["word2vec"]:
        return "word2vec"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ClassifierConfig:
    """The shape of a classifier: a network whose vocabulary's head gave way to one of classes, and how it reads.

    `threshold`, of two classes: from which probability on the second one is told; None: the likelier one is.
    """

    body: ModelConfig
    classes: tuple[str, ...]
    reads: Reads
    max_tokens: int
    pad_id: int
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= MAX_CLASSES or len(set(self.classes)) != len(self.classes):
            raise BadConfig("classes", f"must be 2 to {MAX_CLASSES} different names, not {len(self.classes)}")
        _check_int("max_tokens", self.max_tokens, 1, self.body.context_length)
        _check_int("pad_id", self.pad_id, 0, self.body.vocab_size - 1)
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


NetworkConfig = ModelConfig | Word2VecConfig | ClassifierConfig


def network_config(family: str, fields: Mapping[str, Any]) -> NetworkConfig:
    """The configuration that `to_dict` of a network of `family` gave.

    Raises:
        TypeError: a field is missing or unknown.
        BadConfig: the values do not fit together.
    """
    if family == "word2vec":
        return Word2VecConfig(**fields)
    if family == "classifier":
        body, classes = ModelConfig(**fields["body"]), tuple(fields["classes"])
        return ClassifierConfig(**{**fields, "body": body, "classes": classes})
    return ModelConfig(**fields)
