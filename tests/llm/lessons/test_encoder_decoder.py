"""A small encoder–decoder that writes a sequence backwards: it has to look at the source to do so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from app.llm.config import ModelConfig
from app.llm.lessons.causal_attention import causal_mask
from app.llm.lessons.encoder_decoder import EncoderDecoder, write_from
from tests.llm.lessons.book import practise, seeded

SYMBOLS, LENGTH = 8, 4
START = SYMBOLS
CONFIG = ModelConfig(vocab_size=SYMBOLS + 1, context_length=LENGTH, emb_dim=32, n_heads=4, n_layers=1)


def sources(count: int, seed: int) -> Tensor:
    return torch.randint(0, SYMBOLS, (count, LENGTH), generator=torch.Generator().manual_seed(seed))


def with_start(written: Tensor) -> Tensor:
    """What the decoder reads while it learns to write: the start, then all but the last."""
    return torch.cat((torch.full((written.size(0), 1), START), written[:, :-1]), dim=1)


@pytest.fixture(scope="module")
def trained() -> EncoderDecoder:
    model = seeded(1, lambda: EncoderDecoder(CONFIG))

    def loss(step: int) -> Tensor:
        source = sources(64, seed=step)
        backwards = source.flip(1)
        return F.cross_entropy(model(source, with_start(backwards)).flatten(0, 1), backwards.flatten())

    practise(model, loss, steps=250, learning_rate=5e-3)
    return model


def test_it_writes_backwards_what_it_never_saw(trained: EncoderDecoder) -> None:
    """Of 4,096 sequences some were met in training; those here are drawn anew, and nearly all come out right."""
    source = sources(200, seed=10**6)
    written = write_from(trained, source, START, LENGTH)
    assert (written == source.flip(1)).all(dim=1).float().mean() > 0.95


@torch.no_grad()
def test_it_looks_at_the_symbol_it_writes(trained: EncoderDecoder) -> None:
    source = sources(50, seed=10**6)
    states, block = trained.encode(source), trained.decoder[0]
    x = trained.emb(with_start(source.flip(1)))
    x = x + block.att(block.norm1(x), causal_mask(LENGTH))
    looks = block.cross_att.weights(block.norm2(x), context=states).amax(dim=1).mean(dim=0)  # (T, S), the keenest head
    assert looks.argmax(dim=1).tolist() == [3, 2, 1, 0]


@torch.no_grad()
def test_the_decoder_sees_no_later_token_but_all_of_the_source() -> None:
    model, source, target = EncoderDecoder(CONFIG).eval(), sources(1, 1), sources(1, 2)
    before, later = model(source, target), target.clone()
    later[0, 2] = (later[0, 2] + 1) % SYMBOLS
    moved = (model(source, later) - before).abs().sum(dim=-1)[0] > 1e-5
    assert moved.tolist() == [False, False, True, True]
    for place in (0, 3):
        other = source.clone()
        other[0, place] = (other[0, place] + 1) % SYMBOLS
        assert ((model(other, target) - before).abs().sum(dim=-1) > 1e-6).all()


@torch.no_grad()
def test_padding_of_the_source_is_not_looked_at() -> None:
    model, source, target = EncoderDecoder(CONFIG).eval(), sources(3, 1), sources(3, 2)
    padding = torch.tensor([[False, False, False, True]]).expand(3, 4)
    torch.testing.assert_close(model(source, target, padding), model(source[:, :3], target))


@torch.no_grad()
def test_source_and_target_may_differ_in_length() -> None:
    model = EncoderDecoder(CONFIG).eval()
    assert model(sources(2, 1)[:, :3], sources(2, 2)[:, :2]).shape == (2, 2, SYMBOLS + 1)


@torch.no_grad()
def test_writing_takes_what_the_full_pass_finds_likeliest(trained: EncoderDecoder) -> None:
    source = sources(5, seed=7)
    written = write_from(trained, source, START, LENGTH)
    assert torch.equal(trained(source, with_start(written)).argmax(dim=-1), written)
