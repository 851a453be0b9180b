"""Packed layers: a float layer's outputs within the format's error, and no trace left on the layer."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from app.llm.errors import LLMError
from app.llm.model.packed_linear import (
    BFloat16Linear,
    Int4Linear,
    Int8Linear,
    PackedType,
    pack,
)

ERRORS = {BFloat16Linear: 0.01, Int8Linear: 0.02, Int4Linear: 0.25}
"""Of the largest output."""
KINDS = list(ERRORS)
APART = [kind for kind in KINDS if kind.keeps_rows_apart]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("out", "wide"), [(64, 64), (203, 36), (5, 1), (1, 100)])
def test_outputs_are_those_of_the_layer(kind: PackedType, out: int, wide: int) -> None:
    torch.manual_seed(0)
    weight, bias, x = torch.randn(out, wide), torch.randn(out), torch.randn(9, wide)
    before = weight.clone()
    expected = F.linear(x, weight, bias)
    got = pack(kind, [weight], [bias])(x)
    assert (got - expected).abs().max() <= ERRORS[kind] * expected.abs().max()
    assert torch.equal(weight, before)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_with_the_same_inputs_become_one(kind: PackedType) -> None:
    torch.manual_seed(0)
    weights = [torch.randn(48, 64), torch.randn(16, 64)]
    bias, x = torch.randn(16), torch.randn(3, 64)
    got = pack(kind, weights, [None, bias])(x)
    assert torch.equal(got[:, :48], pack(kind, weights[:1], [None])(x))
    assert torch.equal(got[:, 48:], pack(kind, weights[1:], [bias])(x))


@pytest.mark.parametrize("kind", APART)
@pytest.mark.parametrize(("out", "wide"), [(960, 576), (576, 1536), (203, 96)])
def test_a_row_has_the_same_bits_whatever_is_beside_it(kind: PackedType, out: int, wide: int) -> None:
    torch.manual_seed(0)
    packed, x = pack(kind, [torch.randn(out, wide)], [None]), torch.randn(70, wide)
    together = packed(x)
    for start, end in [(0, 1), (69, 70), (3, 11), (20, 53)]:
        assert torch.equal(packed(x[start:end]), together[start:end])


def test_values_of_four_bits_lose_what_bfloat16_loses_alone() -> None:
    torch.manual_seed(0)
    values = torch.randint(0, 16, (32, 2, 32)).float()
    values[..., 0], values[..., 1] = 0, 15
    weight = (values * 0.125 - 0.75).flatten(1)  # both have few digits
    x = torch.randn(4, 64).bfloat16().float()
    expected = F.linear(x, weight)
    got = pack(Int4Linear, [weight], [None])(x)
    assert (got - expected).abs().max() <= 0.005 * expected.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_number_stays_none(kind: PackedType) -> None:
    packed = pack(kind, [torch.ones(16, 32)], [None])
    assert packed(torch.full((2, 32), torch.nan)).isnan().all()
    assert (packed(torch.zeros(2, 32)) == 0).all()


@pytest.mark.parametrize("kind", APART)
def test_weights_without_a_place_are_refused(kind: PackedType) -> None:
    with pytest.raises(LLMError, match=f"no place in {kind.dtype}"):
        pack(kind, [torch.full((16, 32), torch.inf)], [None])
    assert (pack(kind, [torch.zeros(16, 32)], [None])(torch.randn(2, 32)) == 0).all()


def test_fewer_bits_weigh_less() -> None:
    weight = torch.randn(64, 64)
    weights = [pack(kind, [weight], [None]).weight_bytes for kind in (BFloat16Linear, Int8Linear, Int4Linear)]
    assert weight.nbytes > weights[0] > weights[1] > weights[2]
