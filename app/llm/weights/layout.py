"""How one of our weights lies in another's files: names, joined matrices, turned axes. Read one way, written the other.

A layout is a list of slots, each one tensor of theirs and the weights of ours that it holds. The same list serves
import and export. Knows no file format: tensors come from a `Source`, and go to whoever asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.errors import BadWeights
from app.llm.model.shapes import Shape, weight_shapes


class Entry(Protocol):
    @property
    def shape(self) -> Shape: ...


class Source(Protocol):
    """Tensors by name, whose shapes are known before any is read."""

    @property
    def tensors(self) -> Mapping[str, Entry]: ...

    def read(self, name: str) -> Tensor:
        """A tensor in float32."""


@dataclass(frozen=True)
class Slot:
    """One tensor of theirs.

    Args:
        name: theirs.
        ours: names of our weights (out, in) that are joined in it along the first axis.
        transposed: it lies as (in, out).
        boxed: it has a first axis of length 1.
        heads: the two halves of each of so many heads are interleaved, row by row; 0: they are not.
    """

    name: str
    ours: tuple[str, ...]
    transposed: bool = False
    boxed: bool = False
    heads: int = 0


Shapes = Mapping[str, Shape]
Layout = Sequence[Slot]


@dataclass(frozen=True)
class Weights:
    """A network's weights as they lie in files: checked, and none of them read yet."""

    config: ModelConfig
    layout: Layout
    source: Source

    def ours(self) -> Iterator[tuple[str, Tensor]]:
        """Our weights one by one, in the order of the layout.

        Raises:
            BadWeights: a tensor cannot be read, or holds NaN or infinity.
        """
        yield from ours(self.layout, self.source, self.shapes)

    def starting(self, start: str) -> Iterator[tuple[str, Tensor]]:
        """Those of our weights whose names begin so, as `ours`."""
        slots = [slot for slot in self.layout if any(name.startswith(start) for name in slot.ours)]
        return ((name, weight) for name, weight in ours(slots, self.source, self.shapes) if name.startswith(start))

    def read(self, name: str) -> Tensor:
        """One of our weights."""
        slot = next(slot for slot in self.layout if name in slot.ours)
        return dict(ours([slot], self.source, self.shapes))[name]

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Our weights' shapes, in the order of the layout."""
        known = shapes_of(self.config, len(self.source.tensors))
        return {name: known[name] for slot in self.layout for name in slot.ours}


def shapes_of(config: ModelConfig, tensors: int) -> dict[str, Shape]:
    """Our weights' shapes.

    Args:
        tensors: how many the files hold.

    Raises:
        BadWeights: there are too few for so many blocks (asked before an absurd number of them is listed).
    """
    if config.n_layers > tensors:
        raise BadWeights(f"{tensors} tensors are too few for {config.n_layers} blocks")
    return {weight.name: weight.shape for weight in weight_shapes(config)}


def stored_shape(slot: Slot, shapes: Shapes) -> Shape:
    """The shape that their tensor must have."""
    first = shapes[slot.ours[0]]
    shape: Shape = (sum(shapes[name][0] for name in slot.ours), *first[1:])
    if slot.transposed:
        shape = shape[::-1]
    return (1, *shape) if slot.boxed else shape


def check(layout: Layout, source: Source, shapes: Shapes, *, zeros: Shapes, ignored: Callable[[str], bool]) -> None:
    """See that every tensor is there, has its shape, and that there is none without a place.

    Args:
        zeros: shapes of tensors that may be there where all of their numbers are 0.
        ignored: whether a tensor of this name is known to be no weight, and left alone.

    Raises:
        BadWeights: which names the first tensor that does not fit.
    """
    for slot in layout:
        if slot.name not in source.tensors:
            raise BadWeights(f"the tensor {slot.name!r} is missing")
        check_shape(source, slot.name, stored_shape(slot, shapes))
    for name, shape in zeros.items():
        if name not in source.tensors:
            continue
        check_shape(source, name, shape)
        if bool(source.read(name).count_nonzero()):
            raise BadWeights(f"tensor {name!r} has no place in this network, and is not zero")
    known = {slot.name for slot in layout}.union(zeros)
    surplus = sorted(name for name in source.tensors if name not in known and not ignored(name))
    if surplus:
        shown = ", ".join(repr(name[:100]) for name in surplus[:5])
        raise BadWeights(f"tensors without a place in this network: {shown}")


def check_shape(source: Source, name: str, wanted: Shape) -> None:
    """See that a tensor has a shape, before it is read.

    Raises:
        BadWeights: it has another.
    """
    if (found := source.tensors[name].shape) != wanted:
        raise BadWeights(f"tensor {name!r} has the shape {found}, the configuration asks for {wanted}")


def ours(layout: Layout, source: Source, shapes: Shapes) -> Iterator[tuple[str, Tensor]]:
    """Our weights one by one, in the order of the layout.

    Raises:
        BadWeights: a tensor cannot be read, or holds NaN or infinity.
    """
    for slot in layout:
        tensor = source.read(slot.name)
        if not bool(tensor.sum().isfinite()) and not bool(tensor.isfinite().all()):
            raise BadWeights(f"tensor {slot.name!r} holds NaN or infinity")
        if slot.boxed:
            tensor = tensor[0]
        if slot.transposed:
            tensor = tensor.t()
        if slot.heads:
            tensor = apart(tensor, slot.heads)
        at = 0
        for name in slot.ours:
            yield name, tensor[at : at + shapes[name][0]]
            at += shapes[name][0]


def theirs(slot: Slot, read: Callable[[str], Tensor]) -> Tensor:
    """Their tensor of one slot, made of our weights."""
    tensor = torch.cat([read(name) for name in slot.ours]) if len(slot.ours) > 1 else read(slot.ours[0])
    if slot.heads:
        tensor = interleaved(tensor, slot.heads)
    if slot.transposed:
        tensor = tensor.t()
    return tensor[None] if slot.boxed else tensor


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """A query or key weight (out, …) as llama.cpp stores it: row i of a head's first half, row i of its second, …

    llama.cpp turns neighbours i, i + 1 by an angle, our network i, i + D / 2.
    """
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def apart(weight: Tensor, heads: int) -> Tensor:
    """The inverse of `interleaved`."""
    return weight.reshape(heads, -1, 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)
