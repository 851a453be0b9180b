"""Pulling from a hub: the right files, checked; broken off and taken up again; offline in words and at once."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from app.errors import (
    Conflict,
    HubUnreachable,
    InvalidFile,
    InvalidRequest,
    ModelNotFound,
    NoDiskSpace,
    TooLarge,
    UnsupportedFormat,
)
from app.llm.weights.safetensors_file import write_safetensors
from app.services import hub, hub_files
from app.services.hub import Hub, HubSource, Pulled, choose, pull
from app.services.hub_files import Entry
from app.services.outgoing import Way
from app.services.storage import Storage
from tests.e2e.conftest import free_port
from tests.fake_hub import COMMIT, FakeHub
from tests.serving import served
from tests.weight_files import CONFIGS, a_folder, a_network

TINY = HubSource("someone/tiny")
BIG = 1 << 40
HERE = Way(private=True)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "data", tmp_path / "assets")
    made.prepare()
    return made


@pytest.fixture
def fake(tmp_path: Path) -> FakeHub:
    return FakeHub(a_folder(tmp_path / "hub", a_network(CONFIGS["gpt2"])))


@pytest.fixture
def endpoint(fake: FakeHub) -> Iterator[Hub]:
    with served(fake.app()) as port:
        yield Hub(f"http://127.0.0.1:{port}", HERE)


def test_a_revision_is_fetched_and_checked(storage: Storage, fake: FakeHub, endpoint: Hub) -> None:
    (fake.folder / "README.md").write_text("not needed")
    (fake.folder / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    pulled = pull(storage, endpoint, TINY, BIG)
    assert (pulled.commit, pulled.licence) == (COMMIT, "mit")
    names = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert set(pulled.files) == names
    for name, path in pulled.files.items():
        assert path.read_bytes() == (fake.folder / name).read_bytes()
        assert path.is_relative_to(storage.import_dir / "hub")


LARGE = 20_000_000


@pytest.fixture
def broken_off(storage: Storage, fake: FakeHub, endpoint: Hub) -> FakeHub:
    """A hub that fell silent in the midst of a large file, and speaks again; the pull was refused."""
    write_safetensors(fake.folder / "large.safetensors", [("t", (LARGE // 4,))], [("t", torch.arange(LARGE / 4))])
    (fake.folder / "large.safetensors").replace(fake.folder / "model.safetensors")
    fake.cut_after = 12_345_678
    with pytest.raises(HubUnreachable, match="What arrived is kept") as refusal:
        pull(storage, endpoint, TINY, BIG)
    assert refusal.value.retry_after_s
    assert [path.stat().st_size for path in storage.import_dir.rglob("*.part")] == [12_345_678]
    fake.is_down = False
    return fake


def test_a_pull_that_broke_off_goes_on_where_it_ended(storage: Storage, broken_off: FakeHub, endpoint: Hub) -> None:
    pulled = pull(storage, endpoint, TINY, BIG)
    assert pulled.files["model.safetensors"].read_bytes() == (broken_off.folder / "model.safetensors").read_bytes()
    assert broken_off.asked == [0, 12_345_678]  # the rest alone
    assert broken_off.sent.count("config.json") == 1
    pull(storage, endpoint, TINY, BIG)
    assert len(broken_off.asked) == 2  # all there, and known by its hash
    assert not list(storage.import_dir.rglob("*.part"))


@pytest.mark.parametrize(("way", "asked"), [("ignored", [0, 12_345_678]), ("refused", [0, 12_345_678, 0])])
def test_a_hub_without_ranges_sends_the_file_anew(
    storage: Storage, broken_off: FakeHub, endpoint: Hub, way: str, asked: list[int]
) -> None:
    broken_off.knows_ranges, broken_off.refuses_ranges = False, way == "refused"
    pulled = pull(storage, endpoint, TINY, BIG)
    assert pulled.files["model.safetensors"].read_bytes() == (broken_off.folder / "model.safetensors").read_bytes()
    assert broken_off.asked == asked


def test_a_part_of_other_bytes_is_not_kept(storage: Storage, broken_off: FakeHub, endpoint: Hub) -> None:
    (part,) = storage.import_dir.rglob("*.part")
    part.write_bytes(bytes(1000))
    with pytest.raises(InvalidFile, match=r"model\.safetensors came with other bytes"):
        pull(storage, endpoint, TINY, BIG)
    assert not part.exists()
    part.write_bytes(bytes(LARGE + 1000))  # longer than the file
    pull(storage, endpoint, TINY, BIG)
    assert broken_off.asked == [0, 1000, 0]


def test_the_weights_are_fetched_once_the_rest_was_judged(storage: Storage, fake: FakeHub, endpoint: Hub) -> None:
    def judge(beside: Pulled) -> None:
        assert {"config.json", "tokenizer.json"} <= beside.files.keys()
        assert (beside.licence, beside.commit) == ("mit", COMMIT)
        raise InvalidFile("no")

    with pytest.raises(InvalidFile, match="no"):
        pull(storage, endpoint, TINY, BIG, judge)
    assert "config.json" in fake.sent
    assert fake.asked == []


def test_a_page_where_the_hub_should_be(storage: Storage, fake: FakeHub, endpoint: Hub) -> None:
    fake.speaks_html = True
    with pytest.raises(HubUnreachable, match=r"what answered at .* is not the hub"):
        pull(storage, endpoint, TINY, BIG)
    assert not list(storage.import_dir.iterdir())


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_other_bytes_than_the_hub_tells_of_are_refused(
    storage: Storage, fake: FakeHub, endpoint: Hub, name: str
) -> None:
    fake.lies_about = name
    with pytest.raises(InvalidFile, match=name):
        pull(storage, endpoint, TINY, BIG)
    assert not list(storage.import_dir.rglob(name))


def test_what_is_not_there_is_told(storage: Storage, endpoint: Hub) -> None:
    with pytest.raises(ModelNotFound) as refusal:
        pull(storage, endpoint, HubSource("someone/tiny", "no-such-branch"), BIG)
    assert refusal.value.param == "source.revision"
    with pytest.raises(TooLarge):
        pull(storage, endpoint, TINY, 1000)
    assert not list(storage.import_dir.iterdir())


def test_offline_is_told_at_once_with_a_way_by_hand(storage: Storage) -> None:
    started = time.monotonic()
    with pytest.raises(HubUnreachable, match="By hand") as refusal:
        pull(storage, Hub(f"http://127.0.0.1:{free_port()}", HERE), TINY, BIG)
    assert time.monotonic() - started < hub.TIMEOUT_S
    assert refusal.value.retry_after_s
    assert "kept" not in refusal.value.message  # as nothing arrived


def test_what_there_is_no_room_for_is_not_fetched(
    storage: Storage, broken_off: FakeHub, endpoint: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing counts, and something is left for the database and whatever else writes."""
    missing = sum(path.stat().st_size for path in broken_off.folder.iterdir()) - sum(
        path.stat().st_size for path in storage.import_dir.rglob("*") if path.is_file()
    )
    free = missing + hub.SPARE_DISK_BYTES - 1
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(NoDiskSpace, match=f"{missing:,} bytes are to be fetched, {free:,} are free"):
        pull(storage, endpoint, TINY, BIG)
    assert broken_off.asked == [0]
    free += 1
    pull(storage, endpoint, TINY, BIG)


def test_what_filled_the_disk_goes_again(
    storage: Storage, broken_off: FakeHub, endpoint: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(url: str, part: Path, size: int, way: Way) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub_files, "_complete", fill)
    with pytest.raises(NoDiskSpace):
        pull(storage, endpoint, TINY, BIG)
    assert not list(storage.import_dir.rglob("*.part"))


def test_one_pull_at_a_time() -> None:
    with hub.turn(), pytest.raises(Conflict), hub.turn():
        raise AssertionError("it is taken")
    with hub.turn():
        pass


@pytest.mark.parametrize("name", ["", "/", "a/b/c", "../x", "a b", "a/../b", "http://x/y", "a" * 200])
def test_names_that_are_none(storage: Storage, name: str) -> None:
    with pytest.raises(InvalidRequest):
        pull(storage, "http://127.0.0.1:1", HubSource(name), BIG)


def entries(*names: str) -> list[Entry]:
    return [Entry(name, 10, None, "0") for name in names]


def chosen(*names: str, file: str | None = None) -> list[str]:
    return [entry.name for entry in choose(entries(*names), file)]


def test_which_files_are_fetched() -> None:
    beside = ("config.json", "tokenizer.json")
    others = ("model.fp16.safetensors", "pytorch_model.bin", "onnx/model.onnx")
    assert chosen(*beside, "model.safetensors", *others) == ["config.json", "model.safetensors", "tokenizer.json"]
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    index = "model.safetensors.index.json"
    assert chosen(*beside, *shards, index, "consolidated.safetensors") == sorted((*beside, *shards, index))
    assert index not in chosen(*beside, "model.safetensors", *shards, index)  # of shards that are not fetched
    assert chosen("a.gguf", "b.gguf", *beside, file="b.gguf") == ["b.gguf"]
    with pytest.raises(InvalidRequest, match=r"there are a\.gguf, b\.gguf"):
        choose(entries("a.gguf", "b.gguf"), None)
    with pytest.raises(InvalidRequest, match=r"no GGUF file 'c\.gguf'"):
        choose(entries("a.gguf"), "c.gguf")
    with pytest.raises(UnsupportedFormat, match="save_pretrained"):
        choose(entries("pytorch_model.bin", *beside), None)
    with pytest.raises(UnsupportedFormat, match="no weights"):
        choose(entries(*beside), None)
