"""Several machines that train one job together: who they are, whether all live, and what each takes of a job.

The first claims jobs and holds them as any worker does; the others, its companions, follow it. They know each other by
the rendezvous: a companion's id in the workers' table ends with its number and the rendezvous, and the worker of a job
that all of them train with the rendezvous alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.config import Settings
from app.db.tables import worker
from app.services import devices
from app.services.devices import Devices


@dataclass(frozen=True)
class Hosts:
    """A group of machines, seen from one of them."""

    rendezvous: str
    """Address and port at which the first one's `torchrun` listens."""
    count: int
    number: int = 0
    """Of this machine; 0 claims the jobs."""

    @property
    def mark(self) -> str:
        """How the id of the worker of a job ends that all of them train."""
        return f"@{self.rendezvous}"

    def companion(self, number: int) -> str:
        """How the id of a companion ends."""
        return f"+{number}{self.mark}"

    def share(self, processes: int) -> int:
        """How many of a job's processes this machine runs; the first ones have one more where they do not divide."""
        taking_part = self.taking_part(processes)
        return processes // taking_part + (self.number < processes % taking_part) if self.number < taking_part else 0

    def taking_part(self, processes: int) -> int:
        """How many of the machines a job of so many processes has work for."""
        return min(self.count, processes)


def hosts_of(settings: Settings) -> Hosts | None:
    """The machines of which this is one, as the settings say; None where it trains alone."""
    if settings.train_hosts == 1:
        return None
    return Hosts(settings.rendezvous, settings.train_hosts, settings.node_rank)


def are_there(session: Session, hosts: Hosts, count: int, within_s: float) -> bool:
    """Whether the first `count` machines live, as far as their companions told within so many seconds."""
    there = [row.id for row in worker.live(session, within_s)]
    return all(any(name.endswith(hosts.companion(number)) for name in there) for number in range(1, count))


def forget_companions(session: Session, hosts: Hosts) -> None:
    """Count on no companion until it tells anew that it lives: one that died would be believed in for a lease."""
    for number in range(1, hosts.count):
        worker.remove_ending(session, hosts.companion(number))


def together(session: Session, hosts: Hosts, own: Devices, within_s: float) -> Devices:
    """What the machines have together, each as much as this one; of this one alone while a companion is silent."""
    if not are_there(session, hosts, hosts.count, within_s):
        return own
    return {kind: hosts.count * count for kind, count in own.items()}


def need_all(own: Devices, device: str, count: int) -> bool:
    """Whether a job is too large for this machine alone."""
    return not devices.can_run(own, device, count)
