"""The opened pass: the numbers of the plain pass, of the fast attention, and of another implementation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.llm.config import PRESETS, ModelConfig, SamplingParams
from app.llm.engine.distribution import distributions
from app.llm.errors import ContextOverflow, TokenIdOutOfRange
from app.llm.model import inspect
from app.llm.model.inspect import OpenedPass
from app.llm.model.inspect_view import MAP_SIDE, WANTS, View, shapes, sizes
from app.llm.model.transformer import Transformer

VOCAB, IDS = 97, [5, 17, 3, 96, 5, 0, 41, 8, 8]
NETWORKS = {
    "gpt2": dict(PRESETS["gpt-tiny"], qkv_bias=True, n_layers=3),
    "llama": dict(PRESETS["llama-tiny"], n_layers=3, tied=False),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Transformer:
    """One of each family, its biases and norms away from the zeros and ones they start as."""
    torch.manual_seed(3)
    made = Transformer(ModelConfig(**{"vocab_size": VOCAB, **NETWORKS[request.param]})).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made.requires_grad_(False)


def view_of(network: Transformer, want: tuple[str, ...], ids: list[int] = IDS, **chosen: Any) -> View:
    config = network.config
    everything = dict(
        layers=tuple(range(config.n_layers)),
        heads=tuple(range(config.n_heads)),
        tokens=tuple(range(len(ids))),
        top=5,
        sampling=SamplingParams(max_new_tokens=1),
    )
    return View(**{"want": frozenset(want), **everything, **chosen})


def opened(network: Transformer, *want: str, ids: list[int] = IDS, **chosen: Any) -> dict[str, Tensor]:
    made = OpenedPass(network, ids, view_of(network, want, ids, **chosen))
    for _ in made.steps():
        pass
    return made.tensors


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_logits_are_those_of_the_plain_pass(network: Transformer) -> None:
    close(opened(network, *WANTS)["logits.raw"], network(torch.tensor([IDS]))[0])


def test_the_stream_begins_with_the_embeddings_and_ends_in_the_logits(network: Transformer) -> None:
    found = opened(network, "embeddings", "residual", "norms")
    close(found["embeddings.token"], network.token_embedding.weight[IDS])
    if network.config.position == "learned":
        close(found["embeddings.position"], network.position_embedding.weight[: len(IDS)])
        close(found["embeddings.sum"], found["embeddings.token"] + found["embeddings.position"])
    else:
        assert "embeddings.position" not in found
        close(found["embeddings.sum"], found["embeddings.token"])
    close(found["residual.embedding"], found["embeddings.sum"])
    end = network.final_norm(found["residual.after_feed_forward"][-1])
    close(network.head(end), network(torch.tensor([IDS]))[0])
    for part in ("embedding", "after_attention", "after_feed_forward"):
        close(found[f"norms.{part}"], found[f"residual.{part}"].square().sum(-1).sqrt())


def test_attention_times_values_is_what_the_fast_attention_gives(network: Transformer) -> None:
    found = opened(network, "context", "residual")
    for layer, block in enumerate(network.blocks):
        joined = found["context"][layer].transpose(0, 1).flatten(1)  # (S, H * D)
        before = found["residual.after_feed_forward"][layer - 1] if layer else found["residual.embedding"]
        fast = block.attention(block.attention_norm(before[None]), block_angles(network))
        close(block.attention.out(joined), fast[0])
        close(before + fast[0], found["residual.after_attention"][layer])


def block_angles(network: Transformer) -> tuple[Tensor, Tensor] | None:
    return network.embed(torch.tensor([IDS]), past=0)[1]


def by_hand(network: Transformer, layer: int, head: int, stream: Tensor) -> dict[str, Tensor]:
    """The four stages of one head as chapter 3 writes them: plain matrices and a loop over pairs of tokens."""
    config, attention = network.config, network.blocks[layer].attention
    normed = network.blocks[layer].attention_norm(stream)
    size, shared = config.head_dim, config.n_heads // config.kv_heads

    def vectors(linear: nn.Linear, number: int) -> Tensor:
        part = slice(number * size, (number + 1) * size)
        made = normed @ linear.weight[part].T
        return made if linear.bias is None else made + linear.bias[part]

    found = {
        "queries": vectors(attention.query, head),
        "keys": vectors(attention.key, head // shared),
        "values": vectors(attention.value, head // shared),
    }
    if config.position == "rope":
        for name in ("queries", "keys"):
            found[name] = turned(found[name], config.rope_base)
    products = torch.tensor(
        [[sum(q * k for q, k in zip(a, b, strict=True)) for b in found["keys"]] for a in found["queries"]]
    )
    scores = products / math.sqrt(size)
    masked = torch.tensor(
        [[scores[i, j].item() if j <= i else -math.inf for j in range(len(IDS))] for i in range(len(IDS))]
    )
    weights = masked.exp() / masked.exp().sum(-1, keepdim=True)
    stages = {"products": products, "scores": scores, "masked": masked, "attention": weights}
    return found | stages | {"context": weights @ found["values"]}


def turned(vectors: Tensor, base: float) -> Tensor:
    """Rotary positions: each pair of numbers, half a head apart, turned by position times its own speed."""
    half = vectors.size(1) // 2
    made = vectors.clone()
    for position in range(len(vectors)):
        for i in range(half):
            angle = position * base ** (-i / half)
            a, b = vectors[position, i], vectors[position, i + half]
            made[position, i] = a * math.cos(angle) - b * math.sin(angle)
            made[position, i + half] = b * math.cos(angle) + a * math.sin(angle)
    return made


def test_the_four_stages_are_those_of_the_book(network: Transformer) -> None:
    stages = ("queries", "keys", "values", "products", "scores", "masked", "attention", "context")
    found = opened(network, "input", "residual", *stages)
    for layer, head in ((0, 0), (1, 3), (2, 2)):
        before = found["residual.after_feed_forward"][layer - 1] if layer else found["residual.embedding"]
        assert torch.equal(found["input.stream"][layer], before)
        close(found["input.normed"][layer], network.blocks[layer].attention_norm(before))
        for name, expected in by_hand(network, layer, head, before).items():
            close(found[name][layer, head], expected)


def plain_blocks(weights: Tensor, high: int, wide: int) -> Tensor:
    """The largest of each block, one weight after the other."""
    found = torch.zeros(high, wide)
    for i, row in enumerate(weights):
        for j, weight in enumerate(row):
            place = (i * high // len(weights), j * wide // len(row))
            found[place] = max(found[place], weight)
    return found


@pytest.mark.parametrize("at_once", [1, 1 << 18])
@pytest.mark.parametrize("tokens", [tuple(range(9)), (0,), (8, 3, 0, 5)])
def test_maps_of_a_short_text_are_its_attention(
    network: Transformer, tokens: tuple[int, ...], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "SCORES_AT_ONCE", at_once)
    found = opened(network, "attention", "maps", tokens=tokens)
    weights = found["attention"]
    assert torch.equal(found["maps.largest"], weights)
    close(found["maps.to_first"], weights[..., 0].mean(-1))
    close(found["maps.to_itself"], torch.stack([weights[:, :, i, p] for i, p in enumerate(tokens)]).mean(0))
    previous = [weights[:, :, i, p - 1] for i, p in enumerate(tokens) if p]
    close(found["maps.to_previous"], torch.stack(previous).mean(0) if previous else torch.zeros(3, 4))


def test_maps_of_a_long_text_hold_the_largest_of_each_block(
    network: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "SCORES_AT_ONCE", 7 * 64 * 4)
    ids, tokens = [token_id % VOCAB for token_id in range(64)], tuple(range(63, 10, -1))
    found = opened(network, "attention", "maps", ids=ids, tokens=tokens)
    assert found["maps.largest"].shape == (3, 4, MAP_SIDE, MAP_SIDE)
    for layer in range(3):
        for head in range(4):
            expected = plain_blocks(found["attention"][layer, head], MAP_SIDE, MAP_SIDE)
            assert torch.equal(found["maps.largest"][layer, head], expected)


def test_scores_are_masked_and_then_weighed(network: Transformer) -> None:
    found = opened(network, "scores", "masked", "attention")
    later = torch.ones(len(IDS), len(IDS), dtype=torch.bool).triu(1)
    assert found["scores"].isfinite().all()
    assert (found["masked"][..., later] == -math.inf).all()
    assert torch.equal(found["masked"][..., ~later], found["scores"][..., ~later])
    close(found["attention"], found["masked"].softmax(-1))
    assert (found["attention"][..., later] == 0).all()


def test_the_lens_ends_in_the_networks_own_answer(network: Transformer) -> None:
    found = opened(network, "logit_lens", "residual", top=VOCAB + 3)
    assert found["logit_lens.ids"].shape == (3, len(IDS), VOCAB)
    for layer in range(3):
        states = found["residual.after_feed_forward"][layer]
        logprobs = network.head(network.final_norm(states)).log_softmax(-1)
        close(found["logit_lens.logprobs"][layer], logprobs.gather(1, found["logit_lens.ids"][layer].long()))
        assert (found["logit_lens.logprobs"][layer].diff() <= 0).all()
    close(found["logit_lens.logprobs"][2].exp().sum(-1), torch.ones(len(IDS)))


def test_loss_and_rank(network: Transformer) -> None:
    found, logits = opened(network, "loss"), network(torch.tensor([IDS]))[0]
    targets = torch.tensor(IDS[1:])
    close(found["loss.loss"], F.cross_entropy(logits[:-1], targets, reduction="none"))
    order = logits[:-1].argsort(-1, descending=True)
    assert found["loss.rank"].tolist() == [1 + row.tolist().index(t) for row, t in zip(order, targets, strict=True)]


def test_the_draw_is_the_samplers(network: Transformer) -> None:
    sampling = SamplingParams(max_new_tokens=1, temperature=0.7, top_k=20, top_p=0.8)
    found = opened(network, "logits", "next", sampling=sampling, tokens=(8, 2))
    for row, logits in enumerate(found["logits.raw"]):
        (drawn,) = distributions(logits[None], [sampling])
        assert torch.equal(found["logits.sampled"][row], drawn)
        ids = found["next.ids"][row].long()
        assert torch.equal(ids, logits.topk(5).indices)
        assert torch.equal(found["next.logits"][row], logits[ids])
        assert torch.equal(found["next.sampled_logprobs"][row], drawn[ids])
        close(found["next.logprobs"][row], logits.log_softmax(-1)[ids])
    assert (found["logits.sampled"] == -math.inf).any()


@pytest.mark.parametrize("at_once", [1, 200, 1 << 21])
def test_a_slice_has_the_numbers_of_the_whole_in_the_order_asked(
    network: Transformer, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the work is cut into pieces of a row, or of a few."""
    whole = opened(network, *WANTS)
    for name in ("SCORES_AT_ONCE", "LOGITS_AT_ONCE"):
        monkeypatch.setattr(inspect, name, at_once)
    layers, heads, tokens = (2, 0), (3, 1), (8, 6, 0, 7)
    part = opened(network, *WANTS, layers=layers, heads=heads, tokens=tokens)
    for name in ("queries", "products", "scores", "masked", "attention", "context"):
        close(part[name], whole[name][list(layers)][:, list(heads)][:, :, list(tokens)])
    for name in ("keys", "values"):
        close(part[name], whole[name][list(layers)][:, list(heads)])
    for name in ("embeddings.sum", "residual.embedding", "logits.raw", "next.logprobs"):
        close(part[name], whole[name][list(tokens)])
    for name in (
        "input.stream",
        "input.normed",
        "residual.after_attention",
        "norms.after_feed_forward",
        "logit_lens.logprobs",
    ):
        close(part[name], whole[name][list(layers)][:, list(tokens)])
    for name in ("loss.loss", "loss.rank"):  # the last token, 8, has no successor
        assert torch.allclose(part[name].float(), whole[name][[6, 0, 7]].float(), atol=1e-5)


def test_no_block_runs_that_nothing_is_asked_of(network: Transformer) -> None:
    class Unasked(nn.Module):
        def forward(self, *_: object) -> None:
            raise AssertionError("this block should not run")

    network.blocks[2] = Unasked()
    assert opened(network, "attention", layers=(1,))["attention"].shape == (1, 4, len(IDS), len(IDS))
    assert opened(network, "embeddings")["embeddings.sum"].shape == (len(IDS), 64)


def test_one_token_and_a_full_context(network: Transformer) -> None:
    found = opened(network, *WANTS, ids=[7])
    assert found["attention"].flatten().tolist() == [1.0] * 12
    assert found["loss.loss"].shape == (0,)
    full = [token_id % VOCAB for token_id in range(64)]
    close(opened(network, "logits", ids=full)["logits.raw"], network(torch.tensor([full]))[0])
    with pytest.raises(ContextOverflow, match="65 tokens"):
        opened(network, "logits", ids=[*full, 1])
    for token_id in (-1, VOCAB, 2**70):
        with pytest.raises(TokenIdOutOfRange, match=str(token_id)):
            opened(network, "logits", ids=[1, token_id])


def test_sizes_are_those_of_the_tensors(network: Transformer) -> None:
    view = view_of(network, WANTS, layers=(0, 2), heads=(1,), tokens=(1, 8))
    told, made = sizes(network.config, len(IDS), view), OpenedPass(network, IDS, view).tensors
    assert {name: tuple(tensor.shape) for name, tensor in made.items()} == shapes(network.config, len(IDS), view)
    for want in set(WANTS) - {"logit_lens", "loss", "next"}:
        parts = [tensor for name, tensor in made.items() if name.split(".")[0] == want]
        assert told[want] == sum(tensor.nbytes for tensor in parts) > 0
    assert told["logit_lens"] == 2 * 2 * (64 * 4 + 5 * 64)
    assert (told["loss"], told["next"]) == (64, 2 * 5 * 64)


def test_ten_gigabytes_are_told_without_holding_them() -> None:
    config = ModelConfig(50257, 1 << 20, 768, 12, 12)
    everything = tuple(range(1 << 15))
    view = View(frozenset(["attention"]), everything[:12], everything[:12], everything, 1, SamplingParams(1))
    assert sizes(config, 1 << 15, view) == {"attention": 12 * 12 * (1 << 30) * 4}


def compare(network: Transformer, theirs: Any, ids: list[int], tolerance: float) -> None:
    """Attention of every layer, every hidden state and the logits against transformers' own."""
    theirs.set_attn_implementation("eager")
    found = opened(network, "attention", "residual", "logits", ids=ids)
    expected = theirs(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    limits = dict(atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(found["attention"], torch.cat(expected.attentions), **limits)
    states = [found["residual.embedding"], *found["residual.after_feed_forward"]]
    states[-1] = network.final_norm(states[-1])  # transformers gives the last one behind its final norm
    torch.testing.assert_close(torch.stack(states), torch.cat(expected.hidden_states), **limits)
    torch.testing.assert_close(found["logits.raw"], expected.logits[0], **limits)


@pytest.mark.parity
@torch.no_grad()
def test_gpt2_is_transformers_inside() -> None:
    transformers = pytest.importorskip("transformers")
    from tests.llm.model.test_transformer import copy_gpt2

    torch.manual_seed(1)
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=VOCAB, n_positions=32, n_embd=48, n_head=4, n_layer=3)
    ).eval()
    for parameter in theirs.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    ours = Transformer(ModelConfig(VOCAB, 32, 48, 4, 3, qkv_bias=True, tied=True)).eval()
    copy_gpt2(ours, theirs)
    compare(ours, theirs, torch.randint(0, VOCAB, (32,)).tolist(), 1e-5)


@pytest.mark.parity
@torch.no_grad()
def test_llama_is_transformers_inside() -> None:
    transformers = pytest.importorskip("transformers")
    from tests.llm.weights.llama_reference import copy_llama

    torch.manual_seed(2)
    config = ModelConfig(
        VOCAB, 32, 48, 6, 3, n_kv_heads=2, hidden_dim=80, norm="rmsnorm", position="rope", mlp="swiglu", rope_base=5e3
    )
    ours = Transformer(config).eval()
    for parameter in ours.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    compare(ours, copy_llama(transformers, ours), torch.randint(0, VOCAB, (32,)).tolist(), 1e-5)


@pytest.mark.parity
@torch.no_grad()
def test_smollm2_is_transformers_inside(assets: Path) -> None:
    """The same dequantised weights in both. A state reaches 22,552 here: 1e-3 beside it is rounding."""
    transformers = pytest.importorskip("transformers")
    from app.llm.weights.gguf import load_gguf
    from tests.llm.weights.llama_reference import copy_llama

    ours = load_gguf(assets / "SmolLM2-135M-Instruct.Q4_1.gguf").requires_grad_(False)
    compare(ours, copy_llama(transformers, ours), [504, 3575, 282, 4649, 314, 7042, 30, 216, 33, 41, 1041, 7], 1e-3)
