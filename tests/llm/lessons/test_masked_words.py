"""A small encoder: it looks both ways, and so fills a gap from what comes after it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from app.llm.config import ModelConfig
from app.llm.lessons.masked_words import NOT_HIDDEN, MaskedWordEncoder, hide_words
from tests.llm.lessons.book import practise, seeded

TEXTS = ("the dog barks at noon", "the cat meows at night", "the owl hoots at dusk", "the cock crows at dawn")
WORDS = sorted({word for text in TEXTS for word in text.split()})
MASK = len(WORDS)
IDS = torch.tensor([[WORDS.index(word) for word in text.split()] for text in TEXTS])  # (4, 5)
CONFIG = ModelConfig(vocab_size=len(WORDS) + 1, context_length=5, emb_dim=32, n_heads=4, n_layers=2)


@pytest.fixture(scope="module")
def trained() -> MaskedWordEncoder:
    model, chance = seeded(1, lambda: MaskedWordEncoder(CONFIG)), torch.Generator().manual_seed(1)

    def loss(step: int) -> Tensor:
        inputs, targets = hide_words(IDS.repeat(8, 1), MASK, len(WORDS), chance)
        return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=NOT_HIDDEN)

    practise(model, loss, steps=150, learning_rate=3e-3)
    return model


@pytest.mark.parametrize("place", range(5))
@torch.no_grad()
def test_it_fills_any_gap_of_its_texts(trained: MaskedWordEncoder, place: int) -> None:
    """The second word follows from the words after it alone: all texts begin with `the`."""
    gaps = IDS.clone()
    gaps[:, place] = MASK
    filled = trained(gaps)[:, place].argmax(dim=-1)
    assert [WORDS[word] for word in filled] == [text.split()[place] for text in TEXTS]


@torch.no_grad()
def test_every_token_looks_at_every_other() -> None:
    model, ids = MaskedWordEncoder(CONFIG).eval(), IDS[:1]
    weights = model.trf_blocks[0].att.weights(model.emb(ids))
    assert weights.shape == (1, 4, 5, 5)
    assert (weights > 0).all()
    for place in (0, 4):
        changed = ids.clone()
        changed[0, place] = MASK
        moved = (model(changed) - model(ids)).abs().sum(dim=-1)[0]
        assert (moved > 1e-5).all()


@torch.no_grad()
def test_padding_is_not_looked_at() -> None:
    model, short = MaskedWordEncoder(CONFIG).eval(), IDS[:, :3]
    padded, padding = torch.cat((short, IDS[:, 3:]), dim=1), torch.tensor([[False] * 3 + [True] * 2]).expand(4, 5)
    torch.testing.assert_close(model(padded, padding)[:, :3], model(short))
    assert not torch.allclose(model(padded)[:, :3], model(short))


def test_words_are_hidden_as_told() -> None:
    ids = torch.randint(0, 100, (500, 40))
    inputs, targets = hide_words(ids, mask_id=100, vocab_size=100, generator=torch.Generator().manual_seed(3))
    chosen = targets != NOT_HIDDEN
    assert chosen.any(dim=1).all()
    assert torch.equal(targets[chosen], ids[chosen])
    assert torch.equal(inputs[~chosen], ids[~chosen])
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.01)
    masked, kept = inputs[chosen] == 100, inputs[chosen] == ids[chosen]
    assert masked.float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert kept.float().mean().item() == pytest.approx(0.101, abs=0.02)  # a random word may be the word itself
    again, _ = hide_words(ids, mask_id=100, vocab_size=100, generator=torch.Generator().manual_seed(3))
    assert torch.equal(again, inputs)
    _, alone = hide_words(ids, 100, 100, torch.Generator().manual_seed(3), share=0.0)
    assert ((alone != NOT_HIDDEN).sum(dim=1) == 1).all()
