"""Processes that train one network together, each on its part of every batch.

The first of them leads: it alone is heard outside, and what it decides at a step all do at that step. A process that
trains alone leads nobody. Knows no batch's content and no recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from app.llm.errors import BadCheckpoint, TrainingStopped

WAIT = timedelta(hours=2)
"""For one another at most; the first may encode a long text, or measure, while the others wait."""

_REASONS = ("lost", "cancelled", "paused", "shutdown")
_NOTHING, _A_NUMBER = -1.0, -2.0  # where work went well: what it gave

Loss = tuple[Tensor, int]


class Learner(Protocol):
    """What is learnt, of a recipe's task."""

    @property
    def model(self) -> nn.Module: ...

    def loss(self, batch: Any) -> Loss: ...


class Ranks(Protocol):
    """One process among `count`, seen from itself."""

    rank: int  # from 0, which leads
    count: int
    here: int  # of these on one machine, at most

    def led(self, work: Callable[[], float | None]) -> float | None:
        """What `work` gives the first process; the others wait for it and do nothing.

        Raises:
            TrainingStopped: `work` raised it, or anything else in the first process, which alone raises that.
        """

    def with_weights(self) -> AbstractContextManager[Any]:
        """In which the first process has all weights, to be read; all enter and leave it together."""

    def loss_of(self, learner: Learner) -> Callable[[Any], Loss]:
        """Its loss of this process's part of a batch, whose gradients will be the mean of all processes'."""

    def apart(self) -> AbstractContextManager[Any]:
        """In which gradients add up, and need be no mean yet."""

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        """The norm of all gradients together, a scalar."""

    def whole(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors that are divided as weights are, for the first process, where they go on living or are copies on the
        CPU; what the others get is nothing to rely on."""

    def part(self, whole: Tensor, like: Tensor) -> Tensor:
        """What this process holds of a tensor that `whole` gave, as it holds the weight `like`, on its device."""

    def of_all(self, losses: Sequence[Tensor], tokens: int) -> tuple[list[Tensor], int]:
        """The means of the processes' losses, and their tokens together."""

    def gathered(self, generators: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The states of all processes' generators."""

    def own(self, generators: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This process's, of all that were gathered.

        Raises:
            BadCheckpoint: they were gathered of another number of processes.
        """

    def leave(self) -> None:
        """The last thing that a process does with the others."""


class Alone:
    """One process that trains with no other."""

    rank = 0
    count = 1
    here = 1

    def led(self, work: Callable[[], float | None]) -> float | None:
        return work()

    def with_weights(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def loss_of(self, learner: Learner) -> Callable[[Any], Loss]:
        return learner.loss

    def apart(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        return nn.utils.get_total_norm(list(gradients))

    def whole(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(tensors)

    def part(self, whole: Tensor, like: Tensor) -> Tensor:
        return whole.to(like.device)

    def of_all(self, losses: Sequence[Tensor], tokens: int) -> tuple[list[Tensor], int]:
        return list(losses), tokens

    def gathered(self, generators: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(generators)

    def own(self, generators: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(generators)

    def leave(self) -> None: ...


ALONE = Alone()


class Together:
    """One of several processes that `torchrun` started, each with a whole network (DistributedDataParallel)."""

    def __init__(self, here: int | None = None) -> None:
        """See the group that the process is in; `joined` makes it.

        Args:
            here: how many of them run on one machine, at most; None: all do.
        """
        self.rank = dist.get_rank()
        self.count = dist.get_world_size()
        self.here = here or self.count
        self._parallel: DistributedDataParallel | None = None

    @classmethod
    def joined(cls, attempt: str, here: int | None = None) -> Together:
        """Wait for the others, wherever they run. What lies on a GPU goes by NCCL, all else by gloo.

        Args:
            attempt: a name for what is done together. Who comes for another attempt, to the same address, is not met.
            here: as of the class.
        """
        store, rank, count = next(rendezvous("env://", timeout=WAIT))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(
            backend,
            store=dist.PrefixStore(attempt, store),  # type: ignore[attr-defined]  # it is there, unsaid by its types
            rank=rank,
            world_size=count,
            timeout=WAIT,
        )
        return cls(here)

    def leave(self) -> None:
        self._parallel = None
        dist.destroy_process_group()

    def led(self, work: Callable[[], float | None]) -> float | None:
        told = torch.full((2,), math.nan, dtype=torch.float64)  # how it went, and the number it gave
        raised: Exception | None = None
        if self.rank == 0:
            try:
                given = work()
                told[0], told[1] = (_NOTHING, math.nan) if given is None else (_A_NUMBER, given)
            except Exception as error:  # noqa: BLE001 (the others must not wait for ever, whatever it is)
                told[0] = _REASONS.index(error.reason) if isinstance(error, TrainingStopped) else 0
                raised = error
        dist.broadcast(told, src=0)
        if raised is not None:
            raise raised
        how, value = told.tolist()
        if how >= 0:
            raise TrainingStopped(_REASONS[int(how)])
        return value if how == _A_NUMBER else None

    def with_weights(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def loss_of(self, learner: Learner) -> Callable[[Any], Loss]:
        # Buckets of gradients that are put in a new order after the first step would be summed in another order
        # after a resume, with more than two processes; where parameters may be unused, they are left as they are.
        self._parallel = DistributedDataParallel(_LossOf(learner), find_unused_parameters=True)
        return self._parallel

    def apart(self) -> AbstractContextManager[Any]:
        assert self._parallel is not None, "loss_of() comes first"
        return self._parallel.no_sync()

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        return nn.utils.get_total_norm(list(gradients))

    def whole(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(tensors)

    def part(self, whole: Tensor, like: Tensor) -> Tensor:
        return whole.to(like.device)

    def of_all(self, losses: Sequence[Tensor], tokens: int) -> tuple[list[Tensor], int]:
        values = torch.stack(list(losses)).double()
        summed = torch.cat([values, values.new_tensor([tokens])])
        dist.all_reduce(summed)
        return list(summed[:-1] / self.count), int(summed[-1])

    def gathered(self, generators: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, state in generators.items():
            states = [torch.empty_like(state) for _ in range(self.count)]
            dist.all_gather(states, state)
            found |= {_name_of(name, rank): each for rank, each in enumerate(states)}
        return found

    def own(self, generators: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = [name for name in generators if "." not in name]
        missing = [name for name in names if _name_of(name, self.count - 1) not in generators]
        if missing or len(generators) != len(names) * self.count:
            raise BadCheckpoint(f"it is not of a run of {self.count} processes")
        return {name: generators[_name_of(name, self.rank)] for name in names}


class _LossOf(nn.Module):
    """A loss as a network's output, which is what DistributedDataParallel watches."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.model = learner.model  # its weights become this one's
        self._loss = learner.loss

    def forward(self, batch: Any) -> Loss:
        return self._loss(batch)


def _name_of(name: str, rank: int) -> str:
    """The first process's generators have the names that those of a process alone have."""
    return name if rank == 0 else f"{name}.{rank}"
