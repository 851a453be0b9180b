"""Perplexity: each token once, with the past it is to have, and the numbers of one plain pass."""

from __future__ import annotations

import math

import pytest
import torch

from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.llm.perplexity import Loss, losses, spans, text_loss

CONFIG = ModelConfig(vocab_size=23, context_length=16, emb_dim=8, n_heads=2, n_layers=2)


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(3)
    return Transformer(CONFIG).eval()


@pytest.mark.parametrize("count", [0, 1, 2, 9, 17, 40])
@pytest.mark.parametrize(("window", "stride"), [(8, 8), (8, 3), (8, 1), (1, 1)])
def test_each_token_but_the_first_is_scored_once(count: int, window: int, stride: int) -> None:
    found = list(spans(count, window, stride))
    assert [token for span in found for token in range(span.first, span.end)] == list(range(1, count))
    assert all(span.end - 1 - span.begin <= window for span in found)
    assert all(span.first - 1 - span.begin == window - stride for span in found[1:])


def test_a_text_within_one_window_costs_what_one_pass_says(model: Transformer) -> None:
    ids = torch.randint(0, 23, (12,), generator=torch.Generator().manual_seed(1)).tolist()
    logits = model(torch.tensor([ids[:-1]]))[0].double().log_softmax(-1)
    wanted = -logits.gather(1, torch.tensor(ids[1:])[:, None]).sum().item()
    found = text_loss(model, ids, 16, 16, bytes_of=lambda token: 2)
    assert found.nats == pytest.approx(wanted, rel=1e-6)
    assert (found.tokens, found.bytes) == (11, 22)
    assert found.perplexity == pytest.approx(math.exp(wanted / 11), rel=1e-6)
    assert found.bits_per_byte == pytest.approx(wanted / math.log(2) / 22, rel=1e-6)


def test_windows_that_overlap_give_each_token_its_own_past(model: Transformer) -> None:
    """With a stride of one, every token is foretold from the eight before it: a pass for each says the same."""
    ids = torch.randint(0, 23, (14,), generator=torch.Generator().manual_seed(2)).tolist()
    found = torch.cat([losses(model, ids, span) for span in spans(len(ids), 8, 1)])
    alone = [
        -model(torch.tensor([ids[max(0, place - 8) : place]]))[0, -1].log_softmax(-1)[ids[place]].item()
        for place in range(1, 14)
    ]
    torch.testing.assert_close(found, torch.tensor(alone, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_logits_made_in_pieces_give_the_same(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = list(range(12))
    span = next(spans(12, 16, 16))
    whole = losses(model, ids, span)
    monkeypatch.setattr("app.llm.perplexity.LOGITS_AT_ONCE", 3 * 23)
    torch.testing.assert_close(losses(model, ids, span), whole)


def test_nothing_scored_has_no_perplexity_and_too_much_is_infinite() -> None:
    assert (Loss(0.0, 0, 0).perplexity, Loss(0.0, 0, 0).bits_per_byte) == (None, None)
    assert Loss(2000.0, 1, 1).perplexity == math.inf
