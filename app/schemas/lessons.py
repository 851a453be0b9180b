"""The wire of /lessons: the book's steps on small numbers, as its reader tries them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import In, Out, Text, an_example

MAX_SEED = 2**63 - 1
MOST_CHARACTERS = 2000
MOST_ROWS = 16
MOST_FEATURES = 16
MOST_BENT = 64
MOST_NEW_TOKENS = 50
MOST_TOKENS = 2**53 - 1
"""A number that every client can hold."""

Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Row = Annotated[list[Number], Field(min_length=1, max_length=MOST_FEATURES)]
Rows = Annotated[list[Row], Field(min_length=1, max_length=MOST_ROWS)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
ShortText = Annotated[Text, Field(min_length=1, max_length=MOST_CHARACTERS)]
Matrix = list[list[float]]
Ids = Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=64)]


class Source(In):
    name: Annotated[Text, Field(min_length=1, max_length=100)]
    tokens: int = Field(ge=1, le=MOST_TOKENS)
    share: float = Field(gt=0, le=1e6, description="Of what is read; shares need not add up to anything.")


class MixtureIn(In):
    """Texts, and how often each is drawn."""

    model_config = an_example(
        sources=[{"name": "stories", "tokens": 4000, "share": 75}, {"name": "news", "tokens": 60000, "share": 25}],
        read=30000,
    )

    sources: list[Source] = Field(min_length=1, max_length=MOST_ROWS)
    read: int = Field(ge=1, le=MOST_TOKENS, description="Tokens of the whole run.")


class SourceUseOut(Out):
    name: str
    tokens: int
    share: float = Field(description="Of all tokens read, from 0 to 1.")
    tokens_read: int
    epochs: float = Field(description="How often the source is gone through.")


class MixtureOut(Out):
    sources: list[SourceUseOut]
    tokens: int = Field(description="Of all sources.")
    shares: float = Field(description="As given, added up.")


class SplitIn(In):
    """A text to be split by one of the three patterns of section 2.2."""

    model_config = an_example(text="Hello, world. Is this-- a test?")

    text: ShortText
    pattern: Literal["white_space", "commas_and_stops", "all_punctuation"] = "all_punctuation"


class SplitOut(Out):
    pieces: list[str] = Field(description="All of the text, white space and empty pieces among it.")
    words: list[str] = Field(description="The pieces without blanks.")


class VocabularyIn(In):
    """The words of a text, numbered; and a sentence written in these numbers."""

    model_config = an_example(dataset="the-tide-clock", text="The tide turned.", version=2)

    dataset: str = Field(description="The id of a text.")
    text: ShortText
    version: Literal[1, 2] = Field(2, description="1 gives up at an unknown word; 2 has `<|unk|>` for it.")


class EntryOut(Out):
    id: int
    word: str


class VocabularyOut(Out):
    sha256: str = Field(description="Of the dataset.")
    words: int = Field(description="Of the text, each as often as it comes.")
    vocab_size: int
    last: list[EntryOut] = Field(description="The last five entries.")
    ids: list[int]
    unknown: int = Field(description="Words of the sentence that became `<|unk|>`.")
    decoded: str


class AttentionIn(In):
    """Token vectors, and which of chapter 3's attentions to put them through.

    `simple` has no weights. `matrices` and `layers` are the two versions of section 3.4, `causal` is section 3.5's,
    `heads` section 3.6's; their weights are torch's first ones after `manual_seed(seed)`.
    """

    model_config = an_example(kind="causal", vectors=[[0.43, 0.15, 0.89], [0.55, 0.87, 0.66]], d_out=2, seed=123)

    kind: Literal["simple", "matrices", "layers", "causal", "heads"]
    vectors: Rows
    d_out: int | None = Field(None, ge=1, le=MOST_FEATURES, description="Features of what comes out; omitted: 2.")
    num_heads: int | None = Field(None, ge=1, le=MOST_FEATURES, description="Of `heads`; omitted: 2.")
    seed: Seed | None = Field(None, description="Omitted: 123.")


class AttentionOut(Out):
    queries: Matrix | None = Field(description="(T, d_out); null where there are none.")
    keys: Matrix | None
    values: Matrix | None
    scores: list[list[list[float | None]]] = Field(
        description="(heads, T, T), before scaling; null where a token must not look."
    )
    weights: list[Matrix] = Field(description="(heads, T, T); each row sums to 1.")
    context: Matrix


class LayerNormIn(In):
    """Rows that a random layer with ReLU makes of random numbers, all drawn after `manual_seed(seed)`."""

    model_config = an_example(seed=123)

    rows: int = Field(2, ge=1, le=MOST_ROWS)
    inputs: int = Field(5, ge=1, le=MOST_FEATURES)
    features: int = Field(6, ge=2, le=MOST_FEATURES)
    seed: Seed = 123


class LayerNormOut(Out):
    before: Matrix
    mean: list[float]
    variance: list[float] = Field(description="Of a sample: divided by n - 1.")
    standardised: list[list[float | None]] = Field(
        description="Less the mean, by the root of that variance; null: it is 0."
    )
    normed: Matrix = Field(description="As a model does it: divided by n, with 1e-5 against a division by zero.")
    mean_after: list[float]
    variance_after: list[float] = Field(description="Divided by n.")


class FeedForwardIn(In):
    """Numbers to bend, and the width of a feed-forward part (section 4.3); nothing of it is allocated."""

    model_config = an_example(values=[-2.0, -1.0, 0.0, 1.0, 2.0])

    values: list[Number] = Field(min_length=1, max_length=MOST_BENT)
    emb_dim: int = Field(768, ge=1, le=1 << 16)
    batch_size: int = Field(2, ge=1, le=1 << 16)
    tokens: int = Field(3, ge=1, le=1 << 20)


class FeedForwardOut(Out):
    values: list[float]
    gelu: list[float]
    relu: list[float]
    shapes: list[list[int]] = Field(description="Of what goes in, of its inside after the widening, of what comes out.")
    parameters: int


class ShortcutsIn(In):
    """Linear layers with GELU, a vector through them, the squared distance to 0 as the loss."""

    model_config = an_example(seed=123)

    layer_sizes: list[Annotated[int, Field(ge=1, le=MOST_FEATURES)]] = Field(
        [3, 3, 3, 3, 3, 1], min_length=2, max_length=33
    )
    vector: Row = Field([1.0, 0.0, -1.0], description="As many numbers as the first layer takes.")
    seed: Seed = 123


class ShortcutsOut(Out):
    without: list[float] = Field(description="The mean size of each layer's gradient, the first layer first.")
    with_shortcuts: list[float]


class SizeIn(In):
    """A GPT of the book's parts; nothing of it is allocated."""

    model_config = an_example(preset="gpt2-124m")

    preset: str = Field("gpt2-124m", description="As in `POST /jobs`, of the GPT-2 family.")
    qkv_bias: bool = False
    tokens: int = Field(2048, ge=1, le=1 << 30, description="Of one forward pass.")
    classes: int | None = Field(None, ge=2, le=1000, description="Chapter 6: a head of so many in place of words.")


class ClassifierSizeOut(Out):
    parameters: int
    learning: int = Field(description="Where the last block, the final norm and the head alone learn.")
    head: int
    last_block: int
    final_norm: int


class SizeOut(Out):
    parameters: int
    tied: int = Field(description="Where the head shares the token embedding's weights.")
    megabytes: float = Field(description="2^20 bytes, float32, not tied.")
    token_embedding: int
    position_embedding: int
    attention: int = Field(description="Of one block.")
    feed_forward: int = Field(description="Of one block.")
    block: int
    blocks: int = Field(description="How many there are.")
    head: int
    flops: float = Field(description="Of the linear layers, for `tokens`.")
    classifier: ClassifierSizeOut | None


class UntrainedIn(In):
    """The 124M GPT as it is drawn after `manual_seed(seed)`, before it has learnt anything."""

    model_config = an_example(texts=["Hello, I am"], max_new_tokens=6)

    texts: list[Annotated[Text, Field(min_length=1, max_length=400)]] = Field(min_length=1, max_length=4)
    max_new_tokens: int = Field(0, ge=0, le=MOST_NEW_TOKENS, description="The likeliest one after the other.")
    context_length: Literal[256, 1024] = Field(1024, description="Chapter 4 has 1024, chapter 5 256; draws differ.")
    seed: Seed = 123


class GuessOut(Out):
    """What the model thought would come at one place, and what came."""

    text: str
    id: int
    probability: float
    log: float = Field(description="The logarithm of the probability.")
    likeliest: str
    likeliest_id: int


class WrittenOut(Out):
    ids: list[int] = Field(description="Of the text, then the new ones.")
    text: str
    guesses: list[GuessOut] = Field(description="Of each of the text's own tokens but the first.")


class UntrainedOut(Out):
    parameters: int
    texts: list[WrittenOut]
    loss: float | None = Field(description="The mean of minus the logarithms; null where there is nothing to guess.")
    perplexity: float | None


class SamplingIn(In):
    """Logits of a few words, and how the next one is drawn from them."""

    model_config = an_example(words=["tea", "rain", "sand"], logits=[2.0, 1.0, -1.0], temperatures=[1.0, 0.5])

    words: list[Annotated[Text, Field(min_length=1, max_length=40)]] = Field(min_length=2, max_length=32)
    logits: list[Number] = Field(min_length=2, max_length=32)
    temperatures: list[Annotated[float, Field(gt=0, le=100)]] = Field([1.0], min_length=1, max_length=4)
    top_k: int | None = Field(None, ge=1, le=32)
    draws: int = Field(1000, ge=1, le=5000)
    seed: Seed = Field(123, description="Before each temperature's draws.")


class DrawnOut(Out):
    temperature: float
    probabilities: list[float]
    counts: list[int] = Field(description="How often each word was drawn.")


class SamplingOut(Out):
    words: list[str]
    distributions: list[DrawnOut]


class LabelledIn(In):
    """Rows with labels, as chapter 6 prepares them: as many of each class, mixed, cut in three parts, padded."""

    model_config = an_example(dataset="ferry-messages", text="text", label="label")

    dataset: str = Field(description="The id of rows.")
    text: str = Field("text", description="The column of texts.")
    label: str = Field("label", description="The column of labels.")
    balanced: bool = Field(True, description="Of each class as many rows as of the smallest.")
    train: float = Field(0.7, gt=0, lt=1, description="Share to learn from; rounded down.")
    validation: float = Field(0.1, ge=0, lt=1, description="Share to measure on; what is left is for the test.")
    batch_size: int = Field(8, ge=1, le=1024)
    seed: int = Field(123, ge=0, lt=2**32, description="Of pandas' `sample(random_state=…)`.")


class LabelCountOut(Out):
    label: str
    rows: int


class PartOut(Out):
    rows: int
    labels: list[LabelCountOut]
    longest: int = Field(description="Tokens of the longest text, by GPT-2's tokenizer.")
    batches: int = Field(description="Of one epoch; of those to learn from the last one is left out if it is smaller.")


class LabelledOut(Out):
    rows: int
    labels: list[LabelCountOut]
    kept: int = Field(description="Rows of all classes, balanced where that was asked for.")
    train: PartOut
    validation: PartOut
    test: PartOut


class PromptIn(In):
    """A task, perhaps what it is about, and its answer."""

    model_config = an_example(instruction="Name the month after May.", output="June.")

    instruction: ShortText
    input: Annotated[Text, Field(max_length=MOST_CHARACTERS)] = ""
    output: ShortText
    template: Literal["alpaca", "phi3"] = "alpaca"


class PromptOut(Out):
    prompt: str = Field(description="What stands before the mark of the answer.")
    text: str
    prompt_tokens: int = Field(description="By GPT-2's tokenizer.")
    tokens: int


class CollateIn(In):
    """Rows of ids of different lengths, to be one batch (section 7.3)."""

    model_config = an_example(rows=[[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]])

    rows: list[Ids] = Field(min_length=1, max_length=MOST_ROWS)
    pad_id: int = Field(50256, ge=0, le=2**31 - 1)
    max_length: int | None = Field(None, ge=1, le=64)


class CollateOut(Out):
    inputs: list[list[int]]
    targets: list[list[int]] = Field(description="-100 where nothing is to be learnt.")


class CrossEntropyIn(In):
    """Logits, a row for each place, and what came there."""

    model_config = an_example(logits=[[-1.0, 1.0], [-0.5, 1.5]], targets=[0, 1])

    logits: Rows
    targets: list[Annotated[int, Field(ge=-100, le=MOST_FEATURES)]] = Field(
        min_length=1, max_length=MOST_ROWS, description="The place in its row; -100 does not count."
    )


class CrossEntropyOut(Out):
    loss: float = Field(description="The mean over those that count.")
    losses: list[float | None] = Field(description="Null of those that do not.")
