"""Skip-grams with negative sampling: the pairs that are made, the loss, and words that end up where they belong."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from app.llm.config import Word2VecConfig
from app.llm.data.windows import Batches, Mixture, Windows
from app.llm.model.word_vectors import WordVectors
from app.llm.tokenizer.word import WordTokenizer
from app.llm.train.config import SkipGramConfig
from app.llm.train.word2vec import SkipGrams, shares_of_words
from app.llm.vectors import nearest

GROUPS = {
    "sea": ["tide", "wave", "harbour", "anchor"],
    "kitchen": ["bread", "oven", "spoon", "kettle"],
    "sky": ["star", "moon", "comet", "planet"],
}


def sentences(count: int) -> str:
    """Each of words of one group, with words between that stand anywhere."""
    rng = random.Random(7)
    lines = []
    for _ in range(count):
        group = rng.choice(list(GROUPS.values()))
        lines.append(" ".join(word for _ in range(4) for word in (rng.choice(group), rng.choice(["the", "a", "of"]))))
    return " . ".join(lines)


def task_of(
    ids: torch.Tensor, vocab_size: int, config: SkipGramConfig, *, validation: bool = False, shown: tuple[int, ...] = ()
) -> SkipGrams:
    torch.manual_seed(1)
    model = WordVectors(Word2VecConfig(vocab_size, emb_dim=16))
    train = Batches(Windows(ids, config.window_length, 1), config.batch_size, seed=3)
    held_out = Batches(Windows(ids, config.window_length, 1), config.batch_size, seed=4) if validation else None
    shares = shares_of_words(train, vocab_size, lambda: None)
    return SkipGrams(model, config, train, held_out, shares, word=str, shown=shown)


def descend(task: SkipGrams, steps: int) -> list[float]:
    optimizer = torch.optim.Adam(task.model.parameters(), lr=0.02)
    losses = []
    for step in range(steps):
        loss, _ = task.loss(task.batch(step))
        gradients = torch.autograd.grad(loss, list(task.model.parameters()))
        for parameter, gradient in zip(task.model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_words_that_stand_together_end_up_nearer():
    text = sentences(500)
    tokenizer = WordTokenizer.build(text, version=2)
    config = SkipGramConfig(window=4, subsample=0.05, batch_size=256)
    task = task_of(torch.tensor(tokenizer.encode(text)), tokenizer.vocab_size, config)
    losses = descend(task, 150)
    assert np.mean(losses[-20:]) < 0.85 * np.mean(losses[:5])
    table = task.model.token_embedding.weight.detach()
    ids = {word: tokenizer.encode(word)[0] for group in GROUPS.values() for word in group}
    unit = F.normalize(table, dim=-1)
    related = [float(unit[ids[a]] @ unit[ids[b]]) for group in GROUPS.values() for a in group for b in group if a < b]
    unrelated = [
        float(unit[ids[a]] @ unit[ids[b]])
        for first in GROUPS.values() for second in GROUPS.values() if first is not second
        for a in first for b in second
    ]  # fmt: skip
    assert min(related) > np.mean(unrelated) + 0.3
    named = {token_id: word for word, token_id in ids.items()}
    for group in GROUPS.values():
        for word in group:
            found, _ = nearest(table, torch.tensor([ids[word]]), 3)
            assert {named.get(each) for each in found[0].tolist()} == set(group) - {word}


def test_the_loss_is_that_of_the_paper():
    """-log σ(u·v) for the word beside, -log σ(-u·v) for each word by chance; at the start (1 + K) log 2."""
    model = WordVectors(Word2VecConfig(9, emb_dim=4))
    ids = torch.tensor([0, 5]), torch.tensor([1, 2]), torch.tensor([[3, 4, 0], [7, 8, 8]])
    assert model.loss(*ids).item() == pytest.approx(4 * np.log(2), rel=1e-6)
    torch.nn.init.normal_(model.context_embedding.weight)
    vectors, others = (table.weight.detach().double() for table in (model.token_embedding, model.context_embedding))
    expected = 0.0
    for middle, beside, by_chance in zip(*(part.tolist() for part in ids), strict=True):
        expected -= np.log(1 / (1 + np.exp(-float(others[beside] @ vectors[middle]))))
        for word in by_chance:
            expected -= np.log(1 / (1 + np.exp(float(others[word] @ vectors[middle]))))
    assert model.loss(*ids).item() == pytest.approx(expected / 2, rel=1e-5)


def test_a_batch_without_a_pair_teaches_nothing():
    model = WordVectors(Word2VecConfig(9, emb_dim=4))
    none = torch.empty(0, dtype=torch.int64)
    loss = model.loss(none, none, none.reshape(0, 5))
    assert loss.item() == 0.0
    for gradient in torch.autograd.grad(loss, list(model.parameters())):
        assert not gradient.any()


def test_pairs_stay_within_the_window_and_its_reach():
    config = SkipGramConfig(window=3, negatives=2, subsample=None, batch_size=64)
    task = task_of(torch.arange(500), 500, config)
    words = np.stack([np.arange(start, start + 7) for start in range(64)])
    middle, beside, by_chance = task._pairs(words, np.random.default_rng(1))
    distance = np.abs(beside - middle)  # ids are places here
    assert set(distance.tolist()) == {1, 2, 3}
    assert set(middle.tolist()) == set(range(3, 67))
    assert by_chance.shape == (len(middle), 2)
    counts = np.bincount(distance)  # a reach of 1, 2 or 3 is equally likely: distance 1 always, 3 in a third
    assert counts[1] == 2 * 64 > counts[2] > counts[3] > 0
    for row in range(64):
        of_row = sorted(distance[middle == row + 3].tolist())
        assert of_row in ([1, 1], [1, 1, 2, 2], [1, 1, 2, 2, 3, 3])


def test_frequent_words_are_left_out_and_drawn_by_their_share():
    """Word 0 is nine tenths of the text: kept with sqrt(t / f), drawn in the proportion of f to the power 3/4."""
    ids = torch.zeros(10_000, dtype=torch.int64)
    ids[::10] = 1
    config = SkipGramConfig(window=1, negatives=20, subsample=0.09, batch_size=1000)
    task = task_of(ids, 3, config)
    assert task._kept.tolist() == pytest.approx([0.1**0.5, 0.9**0.5, 1.0])
    words = np.zeros((20_000, 3), dtype=np.int64)
    middle, _, by_chance = task._pairs(words, np.random.default_rng(1))
    assert len(middle) == pytest.approx(2 * 20_000 * 0.1, rel=0.05)  # both the word and the one beside are kept
    wanted = 0.9**0.75 / (0.9**0.75 + 0.1**0.75)
    assert (by_chance == 0).mean() == pytest.approx(wanted, abs=0.01)
    assert not (by_chance == 2).any()  # a word that the text does not have


def test_shares_of_a_mixture_are_those_of_what_is_read():
    parts = [Windows(torch.tensor([0, 0, 0, 1] * 10), 2, 1), Windows(torch.tensor([2] * 100), 2, 1)]
    shares = shares_of_words(Batches(Mixture(parts, [1.0, 1.0]), 2, seed=0), 4, lambda: None)
    assert shares.tolist() == pytest.approx([0.375, 0.125, 0.5, 0.0], abs=0.01)


def test_a_step_depends_on_seed_and_step_alone():
    ids = torch.arange(200) % 17
    config = SkipGramConfig(window=2, batch_size=16)
    one, other = task_of(ids, 17, config, validation=True), task_of(ids, 17, config, validation=True)
    torch.rand(5)  # torch's own generator plays no part
    losses = [one.loss(one.batch(step))[0].item() for step in range(6)]
    assert [other.loss(other.batch(step))[0].item() for step in reversed(range(6))] == losses[::-1]
    assert one.loss(one.batch(0))[1] == 16
    assert one.validation_loss(lambda: None) == other.validation_loss(lambda: None)
    assert task_of(ids, 17, config).validation_loss(lambda: None) is None


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # within torch, when it is first compiled with
def test_compiled_vectors_learn_the_same():
    """Of another number of pairs in each batch."""
    ids = torch.arange(200) % 17
    plain, compiled = (
        task_of(ids, 17, SkipGramConfig(window=2, batch_size=16, compile=each)) for each in (False, True)
    )
    assert compiled._learnt != compiled.model.loss
    assert descend(compiled, 5) == pytest.approx(descend(plain, 5), rel=1e-5)


def test_a_sample_tells_neighbours():
    ids = torch.tensor([0] * 50 + [1] * 30 + [2] * 20 + list(range(3, 12)))
    config = SkipGramConfig(window=2, batch_size=16)
    lines = task_of(ids, 12, config).sample(lambda: None).split("\n")
    assert [line.split(":")[0] for line in lines][:3] == ["0", "1", "2"]
    assert all(len(line.split(", ")) == 5 for line in lines)
    (line,) = task_of(ids, 12, config, shown=(7,)).sample(lambda: None).split("\n")
    assert line.startswith("7: ")
