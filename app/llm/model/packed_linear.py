"""Linear layers packed for operators that PyTorch brings for CPUs: what a network weighs without a compiler at hand.

Each takes float32 rows and gives float32 rows, and never changes the layer that it was made from. Some of the operators
are private to PyTorch: whoever makes such a layer asks `app/llm/engine/packed_probe.py` first whether it works here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from app.llm.config import Dtype
from app.llm.errors import LLMError

GROUP = 32
"""Inputs that share a scale and a least value at 4 bits, as in GGUF's Q4_1."""
INT4_ROWS = 16
"""The operator takes outputs in multiples of this."""
INNER_K_TILES = 2  # wanted by the operator's signature; on a CPU it changes nothing
FINER = 254
"""Steps of what rounding left, -0.5 to 0.5, in one whole step."""
SMALLEST_SCALE = 1e-30  # rows of zeros have a scale too


class PackedLinear(Protocol):
    """x W^T + b, whatever W lies in."""

    dtype: Dtype
    keeps_rows_apart: bool
    """A row's outputs are the same bits whatever rows are beside it, by the way the operator sums."""
    weight_bytes: int

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (R, out) of rows x (R, in), both float32."""
        ...


class BFloat16Linear:
    """Weights and inputs in bfloat16; the processor decides how it sums them."""

    dtype: Dtype = "bfloat16"
    keeps_rows_apart = False  # the order of summing follows the number of rows

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight = weight.bfloat16()
        self._bias = bias
        self.weight_bytes = self._weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        return _biased(F.linear(x.bfloat16(), self._weight).float(), self._bias)


class Int8Linear:
    """Weights in 8 bits with a scale for each output, inputs as two numbers of 8 bits with a scale for each row.

    The products are summed as whole numbers, exactly: a row's outputs hang on no other row. The second number is what
    the first one's rounding left; with the first alone, SmolLM2's texts were ten times as far from float32's.
    """

    dtype: Dtype = "int8"
    keeps_rows_apart = True

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        least, most = weight.aminmax(dim=1)
        scales = (torch.maximum(-least, most) / 127).clamp_min_(SMALLEST_SCALE)  # (out)
        values = (weight / scales[:, None]).round_().to(torch.int8)
        values = _padded(values, 2)  # a single input is computed wrongly by torch 2.13
        self._columns, self._scales, self._bias = values.T, scales, bias
        self.weight_bytes = values.nbytes + scales.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        scales = x.abs().amax(-1, keepdim=True).div_(127).clamp_min_(SMALLEST_SCALE)  # (R, 1)
        scaled = x / scales
        whole = scaled.round()
        rest = scaled.sub_(whole).mul_(FINER).round_()
        both = torch.cat((whole, rest)).to(torch.int8)  # (2 R, in)
        sums = torch._int_mm(_widened(both, self._columns.size(0)), self._columns)  # (2 R, out), int32
        first, second = sums[: len(x)], sums[len(x) :]
        return _biased((first + second / FINER).mul_(scales).mul_(self._scales), self._bias)


class Int4Linear:
    """Weights in 4 bits with a scale and a least value for each 32 of a row, inputs in bfloat16."""

    dtype: Dtype = "int4"
    keeps_rows_apart = True  # each output by itself, along its row

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._rows, self._bias = weight.size(0), bias
        wide = _padded(weight, GROUP)
        whole = F.pad(wide, (0, 0, 0, -len(wide) % INT4_ROWS))  # (rows, columns)
        groups = whole.view(len(whole), -1, GROUP)  # (rows, columns / 32, 32)
        least, most = groups.aminmax(dim=-1)
        scales = ((most - least) / 15).clamp_min(SMALLEST_SCALE)
        values = ((groups - least[..., None]) / scales[..., None]).round_().clamp_(0, 15)
        self._columns = whole.size(1)
        self._packed: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(
            values.flatten(1).to(torch.int32), INNER_K_TILES
        )
        # The operator takes the middle of the sixteen values, not the least, and groups first.
        middle = least + 8 * scales
        self._scales = torch.stack((scales, middle), -1).transpose(0, 1).contiguous().bfloat16()
        self.weight_bytes = self._packed.nbytes + self._scales.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        wide = _widened(x.bfloat16(), self._columns)
        out: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(wide, self._packed, GROUP, self._scales)
        return _biased(out[:, : self._rows].float(), self._bias)


PackedType = type[BFloat16Linear] | type[Int8Linear] | type[Int4Linear]


def pack(kind: PackedType, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> PackedLinear:
    """Layers that read the same inputs, as one.

    Args:
        weights: (out, in) each.
        biases: (out) or None each.

    Raises:
        LLMError: a weight is infinite or none, which has no place in few bits.
    """
    whole = torch.cat([weight.detach().float() for weight in weights]) if len(weights) > 1 else weights[0].detach()
    if kind.dtype in ("int8", "int4") and not whole.isfinite().all():
        raise LLMError(f"weights that are infinite or no numbers have no place in {kind.dtype}")
    bias = None
    if any(one is not None for one in biases):
        pairs = zip(weights, biases, strict=True)
        parts = [whole.new_zeros(len(weight)) if one is None else one.detach() for weight, one in pairs]
        bias = torch.cat(parts).float()
    return kind(whole.float(), bias)


def _padded(weight: Tensor, multiple: int) -> Tensor:
    """`weight` (out, in) with zeros behind each row, up to a multiple of inputs."""
    return F.pad(weight, (0, -weight.size(1) % multiple))


def _widened(x: Tensor, width: int) -> Tensor:
    """Rows (R, in) with zeros behind them up to `width`, as the weights were padded."""
    return x if x.size(1) == width else F.pad(x, (0, width - x.size(1)))


def _biased(out: Tensor, bias: Tensor | None) -> Tensor:
    return out if bias is None else out.add_(bias)
