"""Section 5.1 on chapter 5's untrained model (torch's CPU draws, seed 123)."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from app.llm.lessons.gpt import GPT
from app.llm.lessons.network import as_network
from app.llm.lessons.text_loss import cross_entropy_by_hand, perplexity, target_probabilities
from app.llm.tokenizer.base import Tokenizer
from app.llm.train.losses import next_token_loss
from tests.golden_facts import FACTS
from tests.llm.lessons.book import assert_is

INPUTS = torch.tensor(FACTS["ch05.pred.ids"]["inputs"]["inputs"])
TARGETS = torch.tensor(FACTS["ch05.pred.ids"]["inputs"]["targets"])


@pytest.fixture(scope="module")
def logits(chapter5: GPT) -> Tensor:
    with torch.no_grad():
        return chapter5(INPUTS)  # (2, 3, V)


def test_what_it_would_say(golden: Any, logits: Tensor, gpt2: Tokenizer) -> None:
    expected = golden("ch05.pred.ids")["expected"]
    said = logits.softmax(dim=-1).argmax(dim=-1)
    assert said.tolist() == expected["ids"]
    assert gpt2.decode(said[0].tolist()) == expected["text_row0"]


def test_how_likely_it_held_the_targets(logits: Tensor) -> None:
    assert_is(target_probabilities(logits, TARGETS), "ch05.target.probas")


def test_from_probabilities_to_perplexity(golden: Any, logits: Tensor, chapter5: GPT) -> None:
    fact = golden("ch05.target.logprobas")
    expected, allowed = fact["expected"], fact["tolerance"]["abs"]
    logs = target_probabilities(logits, TARGETS).log().flatten()
    assert logs.tolist() == pytest.approx(expected["log"], abs=allowed)
    assert logs.mean().item() == pytest.approx(expected["mean"], abs=allowed)
    loss = cross_entropy_by_hand(logits, TARGETS)
    assert loss.item() == pytest.approx(expected["cross_entropy"], abs=allowed)
    assert perplexity(loss).item() == pytest.approx(expected["perplexity"], rel=fact["tolerance"]["perplexity_rel"])
    torch.testing.assert_close(loss, F.cross_entropy(logits.flatten(0, 1), TARGETS.flatten()))


@torch.no_grad()
def test_the_service_trains_with_the_same_loss(golden: Any, chapter5: GPT) -> None:
    network = as_network(chapter5).eval()
    loss = next_token_loss(network.hidden(INPUTS), TARGETS, network.output.weight)
    expected = golden("ch05.target.logprobas")["expected"]["cross_entropy"]
    assert loss.item() == pytest.approx(expected, abs=golden("ch05.target.logprobas")["tolerance"]["abs"])


def test_a_model_that_knows_nothing_has_the_vocabularys_perplexity() -> None:
    loss = cross_entropy_by_hand(torch.zeros(1, 2, 50257), torch.tensor([[5, 7]]))
    assert loss.item() == pytest.approx(FACTS["ch05.uniform"]["expected"], abs=1e-4)
    assert loss.item() == pytest.approx(math.log(50257))
    assert perplexity(loss).item() == pytest.approx(50257, rel=1e-4)
