"""Which of PyTorch's operators for packed weights work on this machine, tried on small layers before they are used.

Some are private: a release may lack one, or a processor compute it wrongly. An operator serves only if it gives
the float result within its format's error; whether it gives a row the same bits alone and among others is found out too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from app.llm.config import Dtype
from app.llm.model.packed_linear import (
    BFloat16Linear,
    Float32Linear,
    Int4Linear,
    Int8Linear,
    Int8WeightLinear,
    PackedType,
    pack,
)

KINDS: Mapping[Dtype, Sequence[PackedType]] = {
    "float32": (Float32Linear,),
    "bfloat16": (BFloat16Linear,),
    "int8": (Int8Linear, Int8WeightLinear),
    "int4": (Int4Linear,),
}
"""What can serve a format, the fastest first."""
ERRORS: Mapping[Dtype, float] = {"float32": 1e-5, "bfloat16": 0.02, "int8": 0.04, "int4": 0.2}
"""Of the largest output."""
SHAPES = ((48, 64), (203, 96), (640, 576), (20, 36))
"""Outputs and inputs of the layers that are tried: of even and odd sizes."""
ROWS = 37
ALONE = (0, 1, 5, 36)
"""Rows that are computed once more by themselves."""
TOGETHER = (2, 7, 16)
"""So many of the first rows are computed once more without the others."""


@dataclass(frozen=True)
class Found:
    """What serves a format here."""

    kind: PackedType
    keeps_rows_apart: bool
    """A row gets the same bits whatever rows are beside it."""


@dataclass(frozen=True)
class NotFound:
    """Nothing serves a format here."""

    why: str


@cache
def probe(dtype: Dtype) -> Found | NotFound:
    """What serves `dtype` on this machine's CPU; tried once in a process."""
    return probe_kinds(KINDS[dtype])


def probe_kinds(kinds: Sequence[PackedType]) -> Found | NotFound:
    """The first of `kinds` that works."""
    reasons = []
    for kind in kinds:
        try:
            found = _try(kind)
        except (AttributeError, RuntimeError, TypeError) as error:  # no such operator, or not with these arguments
            found = NotFound(str(error).strip().partition("\n")[0])
        if isinstance(found, Found):
            return found
        reasons.append(f"{kind.__name__}: {found.why}")
    return NotFound("; ".join(reasons))


@torch.inference_mode()
def _try(kind: PackedType) -> Found | NotFound:
    chance = torch.Generator().manual_seed(0)
    keeps_rows_apart = True
    for out, wide in SHAPES:
        weight, bias = torch.randn(out, wide, generator=chance), torch.randn(out, generator=chance)
        x = torch.randn(ROWS, wide, generator=chance)
        packed = pack(kind, [weight], [bias])
        got, expected = packed(x), F.linear(x, weight, bias)
        error = float((got - expected).abs().max() / expected.abs().max())
        if not error <= ERRORS[kind.dtype]:  # NaN neither
            return NotFound(f"wrong by {error:.2g} of the largest output")
        several = [(row, row + 1) for row in ALONE] + [(0, count) for count in TOGETHER]
        keeps_rows_apart &= all(_same(packed(x[start:end]), got[start:end]) for start, end in several)
    return Found(kind, keeps_rows_apart)


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one, other)
