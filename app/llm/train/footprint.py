"""What a training run takes in memory, by part, told from its configurations alone. Free of torch: nothing is made.

What autograd keeps is counted tensor by tensor for each family; `tests/llm/train/test_footprint.py` holds the sum
against a measured peak.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.llm.config import AdapterConfig, ClassifierConfig, ModelConfig, NetworkConfig, Word2VecConfig
from app.llm.model.shapes import FLOAT_BYTES, block_shapes, bytes_by_part
from app.llm.train.config import LoopConfig, PreferenceConfig, SkipGramConfig

LOGITS_AT_ONCE = 1 << 26  # as `losses.LOGITS_AT_ONCE`, which comes with torch; logits become their gradient in place
HEAD_COPIES = 1  # the head's gradient as the loss makes it, before it is added to what the table's rows got
SPLIT_UP = 1.15
"""How much more the allocator takes after some steps than after the first, measured: what it has is split up."""
PROCESS_BYTES = 350_000_000
"""Python, PyTorch and the libraries beside them, before there is a network."""


@dataclass(frozen=True)
class Footprint:
    """Bytes at the fullest moment."""

    weights: int
    gradients: int
    optimizer: int
    activations: int  # kept for the backward pass, and what comes and goes beside it

    @property
    def total(self) -> int:
        """All of it, with the process itself."""
        return self.weights + self.gradients + self.optimizer + self.activations + PROCESS_BYTES


def footprint(network: NetworkConfig, train: LoopConfig, window: int) -> Footprint:
    """What a run of `train` on windows of `window` tokens takes; float32 and AdamW, whose state is two numbers each."""
    learning = FLOAT_BYTES * learning_parameters(network, train)
    if isinstance(network, Word2VecConfig):
        assert isinstance(train, SkipGramConfig), "the recipe of such networks"
        floats = _skip_grams(network, train)
    elif isinstance(network, ClassifierConfig):
        floats = _decoder(network.body, train, window, predicts=False)
    else:
        assert isinstance(network, ModelConfig), "an adapter alone is not trained"
        floats = _decoder(network, train, window, predicts=True)
    # The frozen reference is a second network, but with adapters: they are set aside, and the base is the reference.
    networks = 2 if isinstance(train, PreferenceConfig) and train.lora is None else 1
    weights = networks * FLOAT_BYTES * parameters(network)
    return Footprint(weights, learning, 2 * learning, round(SPLIT_UP * FLOAT_BYTES * floats))


def checkpoint_bytes(network: NetworkConfig, train: LoopConfig) -> int:
    """A checkpoint on disk: the weights, and the optimizer's state of those that learn; all else is kilobytes."""
    holds_base = train.lora is None or isinstance(network, ClassifierConfig)
    kept = parameters(network) if holds_base else learning_parameters(network, train)
    return FLOAT_BYTES * (kept + 2 * learning_parameters(network, train))


def parameters(network: NetworkConfig) -> int:
    """All weights, a tied head counted once."""
    return sum(bytes_by_part(network).values()) // FLOAT_BYTES


def learning_parameters(network: NetworkConfig, train: LoopConfig) -> int:
    """Those that `train.trainable` names, as `pretrain.choose_trainable` and `Classifier.let_learn` choose them."""
    if train.lora is not None and isinstance(network, ModelConfig):
        return parameters(AdapterConfig(network, train.lora, base_sha256=""))
    if train.lora is not None and isinstance(network, ClassifierConfig):
        names = train.lora.targets
        head = 0 if names is None or "head" in names else len(network.classes) * (network.body.emb_dim + 1)
        return head + parameters(replace(network, lora=train.lora)) - parameters(network)
    named = _trainable(train)
    if isinstance(network, Word2VecConfig) or named == "all":
        return parameters(network)
    if isinstance(network, ClassifierConfig):
        head = len(network.classes) * (network.body.emb_dim + 1)
        return head if named == "head" else head + _last_block(network.body)
    assert isinstance(network, ModelConfig), "an adapter alone is not trained"
    return _last_block(network) + (0 if network.tied else network.vocab_size * network.emb_dim)


def _trainable(train: LoopConfig) -> str:
    """Which weights learn; of a recipe that has no such choice, all."""
    return str(getattr(train, "trainable", "all")) if train.lora is None else "all"


def _last_block(network: ModelConfig) -> int:
    """Its weights and the final norm's."""
    block = sum(weight.size for weight in block_shapes(network))
    return block + network.emb_dim * (2 if network.norm == "layernorm" else 1)


def _decoder(network: ModelConfig, train: LoopConfig, window: int, *, predicts: bool) -> int:
    """Numbers beside weights, gradients and optimizer while a decoder learns; `predicts`: over its vocabulary."""
    tokens = train.batch_size * window
    is_all = _trainable(train) == "all"
    blocks = (network.n_layers if is_all else 1) * tokens * _block(network, window)
    states = tokens * network.emb_dim * 4  # embedded, normed at the end, and the gradients of both
    logits = min(LOGITS_AT_ONCE, tokens * network.vocab_size) if predicts else 0
    table = network.vocab_size * network.emb_dim
    head = HEAD_COPIES * table if predicts and (is_all or not network.tied) else 0
    widest = 2 * tokens * network.mlp_dim  # gradients on their way through a block
    return blocks + states + logits + head + widest


def _block(network: ModelConfig, window: int) -> int:
    """Numbers that one block keeps of one token for the backward pass."""
    width, kv_width, mlp = network.emb_dim, network.kv_heads * network.head_dim, network.mlp_dim
    kept = 4 * width  # what enters both norms, and what leaves them
    kept += 2 * width + 2 * kv_width + network.n_heads  # queries, keys, values, the mixture, sums of scores
    kept += (4 if network.mlp == "swiglu" else 2) * mlp
    if network.drop_rate:
        # Torch's fused attention has no dropout on a CPU: the scores are kept, their chance, and their product.
        kept += 3 * network.n_heads * window + 2 * width
    if network.norm == "rmsnorm":
        kept += 2 * width  # before they are scaled
    return kept


def _skip_grams(network: Word2VecConfig, train: SkipGramConfig) -> int:
    """Numbers beside weights, gradients and optimizer while word vectors learn; pairs as many as are usual."""
    pairs = train.batch_size * (train.window + 1)
    return pairs * network.emb_dim * (4 + 4 * train.negatives)
