"""Which of PyTorch's operators for packed weights work on this machine, tried on small layers before they are used.

Some are private: a release may lack one, or a processor compute it wrongly. An operator serves only if it gives the
float result within its format's error. That it gives a row the same bits alone and among others is believed where it
sums that way and the trial does not say otherwise: a trial alone sees too few shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn import functional as F

from app.llm.config import Dtype
from app.llm.model.packed_linear import (
    BFloat16Linear,
    Int4Linear,
    Int8Linear,
    PackedType,
    pack,
)

KINDS: Mapping[Dtype, PackedType] = {"bfloat16": BFloat16Linear, "int8": Int8Linear, "int4": Int4Linear}
"""What may serve a format. float32 needs no packing."""
ERRORS: Mapping[Dtype, float] = {"bfloat16": 0.02, "int8": 0.04, "int4": 0.2}
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
    """Rows of several requests may be computed together."""


@dataclass(frozen=True)
class NotFound:
    """Nothing serves a format here."""

    why: str


@cache
def probe(dtype: Dtype) -> Found | NotFound:
    """What serves `dtype` on this machine's CPU; tried once in a process."""
    return probe_kind(KINDS[dtype])


def probe_kind(kind: PackedType) -> Found | NotFound:
    """Whether layers of `kind` compute what they should."""
    try:
        return _try(kind)
    except (AttributeError, RuntimeError, TypeError) as error:  # no such operator, or not with these arguments
        return NotFound(str(error).strip().partition("\n")[0])


@torch.inference_mode()
def _try(kind: PackedType) -> Found | NotFound:
    chance = torch.Generator().manual_seed(0)
    keeps_rows_apart = kind.keeps_rows_apart
    for out, wide in SHAPES:
        weight, bias = torch.randn(out, wide, generator=chance), torch.randn(out, generator=chance)
        x = torch.randn(ROWS, wide, generator=chance)
        packed = pack(kind, [weight], [bias])
        got, expected = packed(x), F.linear(x, weight, bias)
        error = float((got - expected).abs().max() / expected.abs().max())
        if not error <= ERRORS[kind.dtype]:  # NaN neither
            return NotFound(f"wrong by {error:.2g} of the largest output")
        several = [(row, row + 1) for row in ALONE] + [(0, count) for count in TOGETHER]
        keeps_rows_apart &= all(torch.equal(packed(x[start:end]), got[start:end]) for start, end in several)
    return Found(kind, keeps_rows_apart)
