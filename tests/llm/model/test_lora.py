"""LoRA: counts of the book, nothing changed at the start, merged = unmerged, and only what was added learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from app.llm.config import PRESETS, LoRAConfig, ModelConfig
from app.llm.errors import BadConfig
from app.llm.model.classifier import Classifier
from app.llm.model.lora import LoRALinear, apply_lora, lora_weights, merge_lora
from app.llm.model.transformer import Transformer

IDS = torch.arange(20).view(2, 10)
FAMILIES = ("gpt-tiny", "llama-tiny")


def network(preset: str, **changes: object) -> Transformer:
    torch.manual_seed(0)
    return Transformer(ModelConfig(**{**PRESETS[preset], "vocab_size": 97, **changes})).eval()


@torch.no_grad()
def learn_something(model: nn.Module) -> None:
    for parameter in lora_weights(model).values():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)


def test_the_books_classifier_has_the_books_counts(golden):
    fact = golden("appE.lora.params")
    with torch.device("meta"):
        classifier = Classifier(Transformer(ModelConfig(50257, 1024, 768, 12, 12, qkv_bias=True, tied=True)), 2)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == fact["expected"]["before"]
    frozen = list(classifier.parameters())
    added = apply_lora(classifier, LoRAConfig(fact["inputs"]["rank"]))
    assert sum(parameter.numel() for parameter in frozen if parameter.requires_grad) == fact["expected"]["frozen"]
    assert added == fact["expected"]["lora"]
    assert added == sum(parameter.numel() for parameter in classifier.parameters() if parameter.requires_grad)
    assert len(lora_weights(classifier)) == 2 * (72 + 1)


@pytest.mark.parametrize("preset", FAMILIES)
@torch.no_grad()
def test_at_the_start_nothing_is_changed(preset):
    model = network(preset)
    before = model(IDS)
    apply_lora(model, LoRAConfig(4, 8.0))
    assert torch.equal(model(IDS), before)


@pytest.mark.parametrize("preset", FAMILIES)
@torch.no_grad()
def test_merged_is_unmerged(preset):
    model = network(preset)
    names, before = set(model.state_dict()), model(IDS)
    apply_lora(model, LoRAConfig(4, 8.0))
    learn_something(model)
    unmerged = model(IDS)
    assert not torch.allclose(unmerged, before, atol=1e-2)
    merge_lora(model)
    torch.testing.assert_close(model(IDS), unmerged, atol=1e-5, rtol=1e-5)
    assert set(model.state_dict()) == names
    assert lora_weights(model) == {}


@torch.no_grad()
def test_alpha_over_rank_is_the_scale():
    linear = nn.Linear(5, 3)
    x = torch.randn(2, 5)
    once = LoRALinear(linear, LoRAConfig(2, 2.0))
    once.lora_b.normal_()
    learnt = x @ once.lora_a @ once.lora_b
    torch.testing.assert_close(once(x), linear(x) + learnt)
    once.scale = 8.0 / 2
    torch.testing.assert_close(once(x), linear(x) + 4.0 * learnt)
    assert LoRALinear(linear, LoRAConfig(2, 8.0)).scale == 4.0


@pytest.mark.parametrize("preset", FAMILIES)
def test_only_what_was_added_gets_a_gradient(preset):
    model = network(preset)
    apply_lora(model, LoRAConfig(2, 2.0))
    learn_something(model)
    torch.autograd.backward(model(IDS).square().mean())
    assert {name for name, p in model.named_parameters() if p.grad is not None} == set(lora_weights(model))


def test_a_language_head_is_left_alone():
    model = network("gpt-tiny", tied=False)
    apply_lora(model, LoRAConfig(2, 2.0))
    assert type(model.output) is nn.Linear
    assert not model.output.weight.requires_grad


@torch.no_grad()
def test_dropout_is_of_what_a_reads_and_of_training_alone():
    linear = nn.Linear(6, 3)
    layer, x = LoRALinear(linear, LoRAConfig(2, 2.0, dropout=0.5)), torch.ones(400, 6)
    layer.lora_b.normal_()
    layer.eval()
    torch.testing.assert_close(layer(x), linear(x) + x @ layer.lora_a @ layer.lora_b)
    layer.train()
    torch.manual_seed(5)
    once = layer(x)
    torch.manual_seed(5)
    kept = nn.functional.dropout(x, 0.5)
    torch.testing.assert_close(once, linear(x) + kept @ layer.lora_a @ layer.lora_b)
    assert 0.4 < (kept == 0).float().mean() < 0.6


@pytest.mark.parametrize("preset", FAMILIES)
def test_only_layers_of_the_targets_are_wrapped(preset):
    model = network(preset)
    added = apply_lora(model, LoRAConfig(2, 2.0, targets=("query", "down")))
    names = {name.split(".", 2)[2] for name in lora_weights(model)}
    assert names == {f"{layer}.lora_{x}" for layer in ("attention.query", "feed_forward.down") for x in "ab"}
    assert added == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_a_target_that_the_network_has_not_is_refused():
    model = network("gpt-tiny", tied=False)
    for name in ("gate", "head"):
        with pytest.raises(BadConfig, match=f"no linear layers called {name}") as caught:
            apply_lora(model, LoRAConfig(targets=("query", name)))
        assert caught.value.field == "targets"
    assert lora_weights(model) == {}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_lora_upon_lora_is_refused():
    model = network("gpt-tiny")
    apply_lora(model, LoRAConfig(2, 2.0))
    with pytest.raises(ValueError, match="LoRA layers already"):
        apply_lora(model, LoRAConfig(2, 2.0))
    merge_lora(model)
    assert apply_lora(model, LoRAConfig(2, 2.0)) > 0


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        (dict(rank=0), "rank"),
        (dict(rank=4097), "rank"),
        (dict(alpha=0.0), "alpha"),
        (dict(alpha=float("nan")), "alpha"),
        (dict(dropout=1.0), "dropout"),
        (dict(dropout=-0.1), "dropout"),
        (dict(targets=()), "targets"),
        (dict(targets=("query", "c_attn")), "targets"),
        (dict(targets=("query", "query")), "targets"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed, field):
    with pytest.raises(BadConfig) as caught:
        LoRAConfig(**changed)
    assert caught.value.field == field
