"""What a training run goes by, frozen and checked when made: the loop's settings and each recipe's. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from app.llm.config import LoRAConfig, Reads, check_int
from app.llm.errors import BadConfig

Precision = Literal["float32", "bfloat16"]
"""In what matrix products are taken while a network learns."""
Batching = Literal["by_length", "by_chance"]
"""Rows of about one length together, so that little is padding, or in an order by chance alone, as in the book."""
Shard = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class LoopConfig:
    """What the training loop itself goes by, whatever is trained (chapter 5 and appendix D).

    At most one of `max_steps` and `epochs` counts; with neither, `default_epochs`. A step is an update: the gradient
    of `accumulate` batches, averaged. `precision` is that of the products, by autocast; weights and optimizer are
    float32 always. With a `patience` the run ends once so many evaluations in a row brought no validation loss that
    is lower than the best by more than `min_improvement`; with `max_rise` it fails once one lies so far above the best.
    With `lora` the network stays as it is, and what learns stands beside its layers.
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
    lora: LoRAConfig | None = None  # or its fields, as a job's row keeps them

    def __post_init__(self) -> None:
        self._read_lora()
        if self.max_steps is not None and self.epochs is not None:
            raise BadConfig("epochs", "give either max_steps or epochs, not both")
        for field in ("max_steps", "epochs"):
            if getattr(self, field) is not None:
                check_int(field, getattr(self, field), 1, 10**9)
        for field in ("batch_size", "eval_every", "eval_batches", "sample_every", "checkpoint_every"):
            check_int(field, getattr(self, field), 1)
        check_int("accumulate", self.accumulate, 1, 10**6)
        check_int("eval_offset", self.eval_offset, 0, self.eval_every - 1)
        check_int("keep_checkpoints", self.keep_checkpoints, 1, 100)
        if self.patience is not None:
            check_int("patience", self.patience, 1, 10**9)
        check_int("warmup_steps", self.warmup_steps, 0, 10**9)
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

    def _read_lora(self) -> None:
        if isinstance(self.lora, Mapping):
            object.__setattr__(self, "lora", _lora(self.lora))
        whole = getattr(type(self), "trainable", None)  # what is said where nothing is asked for
        if self.lora is not None and getattr(self, "trainable", None) != whole:
            raise BadConfig("trainable", "with `lora` the network stays as it is: leave this out")

    def with_steps(self, max_steps: int) -> Self:
        """The same run, its length said in steps."""
        return replace(self, max_steps=max_steps, epochs=None)

    def steps(self, batches_an_epoch: int) -> int:
        """Updates of the run; batches at the end of its epochs that make no whole one are left out."""
        batches = (self.epochs or self.default_epochs) * batches_an_epoch
        return self.max_steps or max(1, batches // self.accumulate)


def _lora(fields: Mapping[str, Any]) -> LoRAConfig:
    try:
        return LoRAConfig(**fields)
    except BadConfig as error:
        raise BadConfig(f"lora.{error.field}", error.reason) from error


@dataclass(frozen=True)
class TrainConfig(LoopConfig):
    """One run on windows of text (chapter 5).

    `trainable` names which weights learn: all, or the last block with the final norm (the head too, where it is
    not tied to the embedding). `order` says whence chance comes: from the seed, for each step apart, or as in the book,
    where starting weights, an epoch's order, dropout and evaluations draw from one generator, one after the other.
    `shard`: whether several devices divide the network and its optimizer among them; `auto`: if one is too small.
    """

    context_length: int | None = None  # tokens a window; None: the model's own, at most 256
    stride: int | None = None  # None: the window's length, so that no token is seen twice an epoch
    trainable: Literal["all", "last_block"] = "all"
    order: Literal["seeded", "book"] = "seeded"
    shard: Shard = "auto"
    sample_tokens: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("context_length", "stride"):
            if getattr(self, field) is not None:
                check_int(field, getattr(self, field), 1, 10**9)
        check_int("sample_tokens", self.sample_tokens, 1)
        if self.trainable not in ("all", "last_block"):
            raise BadConfig("trainable", f"must be all or last_block, not {self.trainable!r}")
        if self.order == "book" and self.accumulate != 1:  # an epoch's chance is drawn between two updates
            raise BadConfig("accumulate", "in the book's order a step has one batch")
        if not self.sample_prompt.strip():
            raise BadConfig("sample_prompt", "must hold some text")
        if self.shard not in get_args(Shard):
            raise BadConfig("shard", f"must be auto, always or never, not {self.shard!r}")
        if self.shard == "always" and (why := self.why_whole) is not None:
            raise BadConfig("shard", f"{why}; leave this out")

    @property
    def why_whole(self) -> str | None:
        """Why several devices cannot divide the network among them; None where they can."""
        if self.trainable == "last_block":
            return "with `trainable` last_block the frozen blocks are run apart, by each device on its own"
        if self.compile:
            return "a network that is compiled is not divided among devices"
        if self.order == "book":
            return "the book's order is that of one device"
        return None


@dataclass(frozen=True)
class ClassifyConfig(LoopConfig):
    """One run on labelled texts (chapter 6).

    `trainable`: the class head alone, with it the last block and the final norm (the book's choice), or all weights.
    `reads`: the token whose state the classes are read off. `last_place` is the book's: the last one of texts that are
    all filled up to one length, `last_token` the last one that is the text's own, `first_token` exercise 6.3's.
    `batching` is by chance where nothing is said: where length hangs together with the class, a batch would be of one.
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
    batching: Batching = "by_chance"

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, known in (("trainable", ("head", "last_block", "all")), ("reads", get_args(Reads))):
            if getattr(self, field) not in known:
                raise BadConfig(field, f"must be one of {', '.join(known)}, not {getattr(self, field)!r}")
        if self.max_tokens is not None:
            check_int("max_tokens", self.max_tokens, 1)
        if self.sample_prompt:
            raise BadConfig("sample_prompt", "a classifier writes no text; leave this out")
        if self.batching == "by_length" and self.reads == "last_place":
            raise BadConfig("batching", "where the last place is read all texts are filled up to one length")


Template = Literal["alpaca", "phi3", "chat"]
"""How a dialogue looks as text: Stanford's Alpaca, Phi-3 as the book shortens it, or the model's own chat template."""


@dataclass(frozen=True)
class AnswerConfig(LoopConfig):
    """What runs on dialogues share.

    `template` None: the model's own where it has one, else `alpaca`. `trainable` as in `TrainConfig`. `sample_tokens`
    is how long an answer to one of the pinned prompts may be.
    """

    batch_size: int = 8
    grad_clip: float | None = 1.0
    eval_batches: int = 10_000  # all of what is kept back, nearly always
    sample_every: int = 100
    sample_prompt: str = ""  # answered are prompts that are kept back
    sample_tokens: int = 60
    template: Template | None = None
    max_tokens: int | None = None  # that are read of a dialogue, whose end is cut off; None: the model's context
    trainable: Literal["all", "last_block"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("sample_tokens", self.sample_tokens, 1)
        if self.max_tokens is not None:
            check_int("max_tokens", self.max_tokens, 1)
        if self.template is not None and self.template not in get_args(Template):
            raise BadConfig("template", f"must be one of {', '.join(get_args(Template))}, not {self.template!r}")


@dataclass(frozen=True)
class InstructConfig(AnswerConfig):
    """One run on instructions and their answers (chapter 7).

    With `mask_prompt` the answers alone are learnt; without it prompts as well, as in the book's main text.
    """

    default_epochs: ClassVar[int] = 2

    learning_rate: float = 5e-5
    mask_prompt: bool = True
    batching: Batching = "by_length"


@dataclass(frozen=True)
class PreferenceConfig(AnswerConfig):
    """One run of direct preference optimisation (Rafailov et al. 2023; the book's bonus to chapter 7).

    `beta`: how dear it is to move away from the network that the run starts from. `log_probability` of an answer: the
    mean of its tokens', as in the book, or their sum, as in the paper.
    """

    learning_rate: float = 5e-6
    beta: float = 0.1
    log_probability: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.beta <= 100.0:
            raise BadConfig("beta", f"must be above 0 and at most 100, not {self.beta!r}")
        if self.compile:
            raise BadConfig("compile", "not for this recipe: two networks take turns")


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
        check_int("window", self.window, 1, 100)
        check_int("negatives", self.negatives, 1, 100)
        if self.subsample is not None and not 0.0 < self.subsample <= 1.0:
            raise BadConfig("subsample", f"must be above 0 and at most 1, not {self.subsample!r}")
        if self.precision != "float32":
            raise BadConfig("precision", "word2vec has no matrix products and learns in float32")
        if self.lora is not None:
            raise BadConfig("lora", "word vectors are learnt whole; leave this out")

    @property
    def window_length(self) -> int:
        """Inputs of a window that has `window` words to each side of its middle, the last of them its target."""
        return 2 * self.window
