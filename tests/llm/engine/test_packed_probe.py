"""The trial of operators: what works is served, what is missing or wrong is told and never used."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.llm.config import Dtype
from app.llm.engine.packed_probe import KINDS, Found, NotFound, probe, probe_kind
from app.llm.model.packed_linear import Int8Linear, PackedType


class Missing(Int8Linear):
    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.aten._an_operator_of_another_release(x)


class Wrong(Int8Linear):
    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x) * 1.5


class NoNumbers(Int8Linear):
    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x) * torch.nan


class Mixing(Int8Linear):
    """Right, but what a row gets hangs on how many there are."""

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x) * (1 + 1e-6 * len(x))


@pytest.mark.parametrize("dtype", list(KINDS))
def test_each_format_is_served_by_the_pytorch_that_is_installed(dtype: Dtype) -> None:
    found = probe(dtype)
    assert isinstance(found, Found)
    assert found.kind.dtype == dtype


@pytest.mark.parametrize(
    ("kind", "told"),
    [(Missing, "_an_operator_of_another_release"), (Wrong, "wrong by 0.5 "), (NoNumbers, "wrong by nan ")],
)
def test_what_is_missing_or_wrong_serves_nobody_and_says_why(kind: PackedType, told: str) -> None:
    found = probe_kind(kind)
    assert isinstance(found, NotFound)
    assert told in found.why


def test_an_operator_that_mixes_rows_serves_one_request_at_a_time() -> None:
    assert probe_kind(Mixing) == Found(Mixing, False)
