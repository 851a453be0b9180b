"""Which device a process of a job takes, and with how many threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from app.services import train_devices
from app.services.train_devices import DeviceUnavailable
from tests.jobs_made import a_job


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of two GPUs, as far as torch tells."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("wanted", "to_use", "count", "chosen"),
    [
        ("auto", "auto", 1, "cuda"),
        ("auto", "auto", 2, "cuda"),
        ("auto", "auto", 3, "cpu"),
        ("cuda", "auto", 2, "cuda"),
        ("cpu", "auto", 1, "cpu"),
        ("auto", "cpu", 1, "cpu"),
    ],
)
def test_the_kind_is_one_of_which_there_are_enough(cards, wanted, to_use, count, chosen):
    assert train_devices.choose(wanted, to_use, count).type == chosen


def test_too_few_are_refused_by_name(cards):
    with pytest.raises(DeviceUnavailable, match="2 of the 3 CUDA devices"):
        train_devices.choose("cuda", "auto", 3)
    with pytest.raises(DeviceUnavailable, match="no CUDA device"):
        train_devices.choose("cuda", "cpu", 1)


@pytest.mark.parametrize(("devices", "setting", "expected"), [(1, 6, 6), (2, 6, 3), (4, 2, 1)])
def test_processes_share_the_threads(threads, settings, database, devices, setting, expected):
    with database.write() as session:
        job = a_job(session, devices=devices, device="cpu")
    chosen = settings.model_copy(update={"train_threads": setting})
    assert train_devices.take(job, chosen, devices).type == "cpu"
    assert torch.get_num_threads() == expected


def test_each_process_takes_a_card_of_its_own(cards, threads, monkeypatch, settings, database):
    taken: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    with database.write() as session:
        job = a_job(session, devices=2, device="cuda")
    assert train_devices.take(job, settings, 2, local_rank=1) == torch.device("cuda", 1)
    assert taken == [torch.device("cuda", 1)]


def test_bfloat16_is_asked_of_a_processor_alone(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert train_devices.lacks_bfloat16(torch.device("cpu"))
    assert not train_devices.lacks_bfloat16(torch.device("cuda"))
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert not train_devices.lacks_bfloat16(torch.device("cpu"))
