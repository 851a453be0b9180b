"""Classes in place of a vocabulary: counts of the book, what is read, what learns."""

from __future__ import annotations

import pytest
import torch

from app.llm.config import PRESETS, ModelConfig
from app.llm.errors import ContextOverflow
from app.llm.model.classifier import Classifier
from app.llm.model.transformer import Transformer


def network(tied: bool = True) -> Transformer:
    torch.manual_seed(0)
    return Transformer(ModelConfig(**{**PRESETS["gpt-tiny"], "vocab_size": 97, "context_length": 16, "tied": tied}))


def learning(classifier: Classifier) -> int:
    return sum(parameter.numel() for parameter in classifier.parameters() if parameter.requires_grad)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_gpt2_small_has_the_books_counts(golden, tied):
    """Released GPT-2 has biases in q, k and v, and the classes take the place of its vocabulary, tied or not."""
    expected = golden("ch06.head.params")["expected"]
    with torch.device("meta"):
        classifier = Classifier(Transformer(ModelConfig(50257, 1024, 768, 12, 12, qkv_bias=True, tied=tied)), 2)
    classifier.let_learn("last_block")
    assert (count(classifier), learning(classifier)) == (expected["total"], expected["trainable"])
    assert count(classifier.head) == expected["head"]
    assert count(classifier.body.blocks[-1]) == expected["last_block"]
    assert count(classifier.body.final_norm) == expected["final_norm"]


@torch.no_grad()
def test_the_classes_are_read_off_the_last_token():
    body = network().eval()
    classifier = Classifier(body, 3)
    ids = torch.arange(12).view(2, 6)
    expected = body.hidden(ids)[:, -1] @ classifier.head.weight.T + classifier.head.bias
    assert classifier(ids).shape == (2, 3)
    torch.testing.assert_close(classifier(ids), expected)
    changed = ids.clone()
    changed[:, 0] += 20
    assert not torch.allclose(classifier(changed), classifier(ids))


@pytest.mark.parametrize("tied", [True, False])
def test_what_learns_is_chosen(tied):
    classifier = Classifier(network(tied), 2)
    sizes = {}
    for which in ("all", "head", "last_block"):
        classifier.let_learn(which)
        sizes[which] = learning(classifier)
    assert sizes["head"] == count(classifier.head) == 2 * 64 + 2
    assert sizes["last_block"] == sizes["head"] + count(classifier.body.blocks[-1]) + count(classifier.body.final_norm)
    assert sizes["all"] == count(classifier)
    classifier.let_learn("last_block")
    gradients = torch.autograd.grad(
        classifier(torch.arange(8)[None]).sum(), [p for p in classifier.parameters() if p.requires_grad]
    )
    assert all(gradient.abs().sum() > 0 for gradient in gradients if gradient.dim() > 1)


def test_a_text_longer_than_the_context_is_refused():
    with pytest.raises(ContextOverflow, match="17 tokens"):
        Classifier(network(), 2)(torch.zeros(1, 17, dtype=torch.long))
