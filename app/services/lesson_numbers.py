"""The book's steps with vectors and small networks, asked for one by one: chapters 3 to 7. Knows no HTTP.

The book draws weights from torch's global generator. It is taken by one lesson at a time, and put back afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.errors import InvalidRequest
from app.llm.config import PRESETS, ModelConfig, SamplingParams
from app.llm.errors import BadConfig
from app.schemas.lessons import (
    AttentionIn,
    AttentionOut,
    ClassifierSizeOut,
    CrossEntropyIn,
    CrossEntropyOut,
    DrawnOut,
    LayerNormIn,
    LayerNormOut,
    SamplingIn,
    SamplingOut,
    ShortcutsIn,
    ShortcutsOut,
    SizeIn,
    SizeOut,
)

if TYPE_CHECKING:  # torch takes a second to import
    from torch import Tensor

GPT2_WORDS = 50257
DEFAULT_SEED, DEFAULT_WIDTH, DEFAULT_HEADS = 123, 2, 2
_drawing = threading.Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global generator of the CPU as after `manual_seed(seed)`, for one at a time."""
    import torch

    with _drawing, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def attention(body: AttentionIn) -> AttentionOut:
    """One of chapter 3's attentions, step by step.

    Raises:
        InvalidRequest: rows of different lengths, a setting that the kind does not have, heads that do not divide.
    """
    import torch

    from app.llm.lessons.simple_attention import attend

    if len({len(row) for row in body.vectors}) > 1:
        raise InvalidRequest("vectors: all must have as many numbers as the first", param="vectors")
    for name in _foreign(body.kind):
        if getattr(body, name) is not None:
            raise InvalidRequest(f"{name}: attention of kind {body.kind} has none", param=name)
    inputs = torch.tensor(body.vectors)  # (T, d_in)
    if body.kind != "simple":
        return _with_weights(body, inputs)
    found = attend(inputs)
    return AttentionOut(
        queries=None,
        keys=None,
        values=None,
        scores=[found.scores.tolist()],
        weights=[found.weights.tolist()],
        context=found.context.tolist(),
    )


def _foreign(kind: str) -> tuple[str, ...]:
    """Settings that this kind of attention does not have."""
    return {"simple": ("d_out", "seed", "num_heads"), "heads": ()}.get(kind, ("num_heads",))


def _with_weights(body: AttentionIn, inputs: Tensor) -> AttentionOut:
    import torch

    from app.llm.lessons.causal_attention import causal_mask
    from app.llm.lessons.self_attention import attention_weights

    heads = 1 if body.kind != "heads" else body.num_heads or DEFAULT_HEADS
    d_out = body.d_out or DEFAULT_WIDTH
    try:
        with seeded(DEFAULT_SEED if body.seed is None else body.seed):
            layer = _attention_layer(body.kind, inputs.size(1), d_out, heads)
    except BadConfig as error:
        raise InvalidRequest(str(error), param=error.field) from error
    mask = causal_mask(len(inputs)) if body.kind in ("causal", "heads") else None
    with torch.no_grad():
        parts = (layer.W_query, layer.W_key, layer.W_value)
        projected = [part(inputs) if callable(part) else inputs @ part for part in parts]  # 3 x (T, d_out)
        queries, keys = (part.unflatten(1, (heads, -1)).transpose(0, 1) for part in projected[:2])  # (H, T, D)
        scores = queries @ keys.transpose(1, 2)  # (H, T, T)
        if mask is not None:
            scores = scores.masked_fill(mask, -torch.inf)
        context = layer(inputs[None], mask) if body.kind == "heads" else layer(inputs[None])  # (1, T, d_out)
    return AttentionOut(
        queries=projected[0].tolist(),
        keys=projected[1].tolist(),
        values=projected[2].tolist(),
        scores=scores.tolist(),
        weights=attention_weights(queries, keys, mask).tolist(),
        context=context[0].tolist(),
    )


def _attention_layer(kind: str, d_in: int, d_out: int, heads: int) -> Any:
    from app.llm.lessons.causal_attention import CausalAttention
    from app.llm.lessons.multi_head import MultiHeadAttention
    from app.llm.lessons.self_attention import SelfAttentionV1, SelfAttentionV2

    if kind == "heads":
        return MultiHeadAttention(d_in, d_out, heads)
    return {"matrices": SelfAttentionV1, "layers": SelfAttentionV2, "causal": CausalAttention}[kind](d_in, d_out)


def layer_norm(body: LayerNormIn) -> LayerNormOut:
    """Rows before and after layer normalisation (section 4.2)."""
    import torch
    from torch import nn

    from app.llm.lessons.layer_norm import LayerNorm, standardise

    with seeded(body.seed), torch.no_grad():
        drawn = torch.randn(body.rows, body.inputs)
        before = nn.Sequential(nn.Linear(body.inputs, body.features), nn.ReLU())(drawn)  # (rows, features)
        normed = LayerNorm(body.features)(before)
    return LayerNormOut(
        before=before.tolist(),
        mean=before.mean(dim=-1).tolist(),
        variance=before.var(dim=-1).tolist(),
        standardised=standardise(before).tolist(),
        normed=normed.tolist(),
        mean_after=normed.mean(dim=-1).tolist(),
        variance_after=normed.var(dim=-1, unbiased=False).tolist(),
    )


def shortcuts(body: ShortcutsIn) -> ShortcutsOut:
    """How large the gradients of a deep network's layers are, without shortcuts and with them (section 4.4).

    Raises:
        InvalidRequest: the vector is not as long as the first layer is wide.
    """
    if len(body.vector) != body.layer_sizes[0]:
        told = f"the first layer takes {body.layer_sizes[0]} numbers, not {len(body.vector)}"
        raise InvalidRequest(f"vector: {told}", param="vector")
    return ShortcutsOut(without=_gradients(body, False), with_shortcuts=_gradients(body, True))


def _gradients(body: ShortcutsIn, use_shortcut: bool) -> list[float]:
    import torch
    from torch.nn import functional as F

    from app.llm.lessons.shortcut import DeepNetwork

    with seeded(body.seed):
        model = DeepNetwork(body.layer_sizes, use_shortcut)
    out = model(torch.tensor([body.vector]))
    weights = [layer[0].weight for layer in model.layers]  # type: ignore[index]
    gradients = torch.autograd.grad(F.mse_loss(out, torch.zeros_like(out)), weights)
    return [gradient.abs().mean().item() for gradient in gradients]


def size(body: SizeIn) -> SizeOut:
    """What a GPT weighs, part by part, and what one pass costs (section 4.6); with `classes` as chapter 6's classifier.

    Raises:
        InvalidRequest: there is no such preset, or it is not of the GPT-2 family.
    """
    import torch

    from app.llm.lessons.cost import linear_flops, megabytes, parameter_count
    from app.llm.lessons.gpt import GPT

    config = _book_config(body)
    with torch.device("meta"):  # nothing is allocated
        model = GPT(config)
    block: Any = model.trf_blocks[0]
    total, head = parameter_count(model), parameter_count(model.out_head)
    return SizeOut(
        parameters=total,
        tied=total - head,
        megabytes=megabytes(total),
        token_embedding=parameter_count(model.emb.tok_emb),
        position_embedding=parameter_count(model.emb.pos_emb),
        attention=parameter_count(block.att),
        feed_forward=parameter_count(block.ff),
        block=parameter_count(block),
        blocks=config.n_layers,
        head=head,
        flops=float(linear_flops(model, body.tokens)),
        classifier=None if body.classes is None else _classifier(config, body.classes),
    )


def _book_config(body: SizeIn) -> ModelConfig:
    known = [name for name, fields in PRESETS.items() if fields.get("position") != "rope"]
    if body.preset not in known:
        told = f"there is no preset {body.preset[:100]!r} of the GPT-2 family; there are {', '.join(known)}"
        raise InvalidRequest(f"preset: {told}", param="preset")
    fields = PRESETS[body.preset] | {"qkv_bias": body.qkv_bias, "tied": False}
    return ModelConfig(vocab_size=GPT2_WORDS, **fields)


def _classifier(config: ModelConfig, classes: int) -> ClassifierSizeOut:
    import torch

    from app.llm.lessons.cost import parameter_count
    from app.llm.model.classifier import Classifier
    from app.llm.model.transformer import Transformer

    with torch.device("meta"):
        model = Classifier(Transformer(replace(config, tied=True)), classes)
    model.let_learn("last_block")
    return ClassifierSizeOut(
        parameters=model.parameter_count(),
        learning=sum(each.numel() for each in model.parameters() if each.requires_grad),
        head=parameter_count(model.head),
        last_block=parameter_count(model.body.blocks[-1]),
        final_norm=parameter_count(model.body.final_norm),
    )


def sampling(body: SamplingIn) -> SamplingOut:
    """What temperature and top-k make of some logits, and what is then drawn (section 5.3).

    Raises:
        InvalidRequest: there are not as many logits as words.
    """
    if len(body.words) != len(body.logits):
        told = f"{len(body.words)} words need as many, not {len(body.logits)}"
        raise InvalidRequest(f"logits: {told}", param="logits")
    return SamplingOut(words=body.words, distributions=[_drawn(body, each) for each in body.temperatures])


def _drawn(body: SamplingIn, temperature: float) -> DrawnOut:
    import torch

    from app.llm.engine.distribution import distributions

    params = SamplingParams(max_new_tokens=1, temperature=temperature, top_k=body.top_k)
    shares = distributions(torch.tensor([body.logits]), [params])[0].exp()
    chance = torch.Generator().manual_seed(body.seed)
    drawn = [int(torch.multinomial(shares, 1, generator=chance)) for _ in range(body.draws)]  # one by one, as the book
    counts = torch.bincount(torch.tensor(drawn), minlength=len(body.words))
    return DrawnOut(temperature=temperature, probabilities=shares.tolist(), counts=counts.tolist())


def cross_entropy(body: CrossEntropyIn) -> CrossEntropyOut:
    """The loss of some logits, and of each row (sections 5.1 and 7.3).

    Raises:
        InvalidRequest: rows of different lengths, other targets than a place in each row or -100, or none counts.
    """
    import torch
    from torch.nn import functional as F

    from app.llm.data.examples import IGNORED

    width = len(body.logits[0])
    if any(len(row) != width for row in body.logits):
        raise InvalidRequest("logits: all rows must have as many numbers as the first", param="logits")
    if len(body.targets) != len(body.logits):
        told = f"{len(body.logits)} rows need as many, not {len(body.targets)}"
        raise InvalidRequest(f"targets: {told}", param="targets")
    for place, target in enumerate(body.targets):
        if target != IGNORED and not 0 <= target < width:
            told = f"{target} is no place in a row of {width}; {IGNORED} leaves a row out"
            raise InvalidRequest(f"targets.{place}: {told}", param=f"targets.{place}")
    if set(body.targets) == {IGNORED}:
        raise InvalidRequest("targets: none counts", param="targets")
    logits, targets = torch.tensor(body.logits), torch.tensor(body.targets)
    losses = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none").tolist()
    return CrossEntropyOut(
        loss=F.cross_entropy(logits, targets, ignore_index=IGNORED).item(),
        losses=[None if target == IGNORED else loss for loss, target in zip(losses, body.targets, strict=True)],
    )
