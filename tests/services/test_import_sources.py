"""Import from a hub as a whole: what is refused before the weights, what is kept for another try, what is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.db.migrate import migrate
from app.db.tables.model import ModelRow
from app.errors import AppError, Conflict, InvalidFile, InvalidRequest, NoDiskSpace, TokenizerNotFound
from app.llm.weights.export import write_gguf
from app.services import import_checks, import_sources
from app.services.hub import HubSource
from app.services.import_checks import Wanted
from app.services.import_sources import from_folder, from_hub
from app.services.importing import import_model
from app.services.runtime import Runtime
from tests.fake_hub import FakeHub
from tests.no_assets import no_assets
from tests.serving import served
from tests.weight_files import CONFIGS, a_folder, a_gguf, a_network, exported, rewrite

TINY = HubSource("someone/tiny")
WANTED = Wanted("tiny", None, None, "source.hub")


@pytest.fixture
def hub(tmp_path: Path) -> FakeHub:
    return FakeHub(a_folder(tmp_path / "hub", a_network(CONFIGS["llama"])))


@pytest.fixture
def runtime(settings: Settings, hub: FakeHub, tmp_path: Path) -> Iterator[Runtime]:
    with served(hub.app()) as port:
        changes = {"hub_url": f"http://127.0.0.1:{port}", "fetch_private_addresses": True}
        changes["assets_dir"] = no_assets(tmp_path / "no-assets")
        made = Runtime.open(settings.model_copy(update=changes))
        migrate(made.database)
        yield made
        made.close()


def left_behind(runtime: Runtime) -> list[Path]:
    places = [runtime.storage.data_dir / folder for folder in ("models", "tokenizers", "scratch", "import")]
    return [path for place in places for path in place.rglob("*") if path.is_file()]


def config(**values: Any) -> Callable[[FakeHub], None]:
    return lambda hub: rewrite(hub.folder / "config.json", lambda found: found.update(values))


def without_a_tokenizer(hub: FakeHub) -> None:
    (hub.folder / "tokenizer.json").unlink()


def licensed(licence: str) -> Callable[[FakeHub], None]:
    return lambda hub: setattr(hub, "licence", licence)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        (config(model_type="mamba"), "model_type"),
        (config(vocab_size=300), "vocab_size"),
        (lambda hub: (hub.folder / "config.json").unlink(), "source.hub"),
        (lambda hub: (hub.folder / "tokenizer.json").write_text('{"model": 3}'), "source.hub"),
        (lambda hub: rewrite(hub.folder / "tokenizer_config.json", lambda c: c.update(chat_template="{% for %}")),
         "chat_template"),
        (without_a_tokenizer, "tokenizer"),
        (licensed("mit\0"), "licence"),
        (licensed("x" * 201), "licence"),
    ],
)  # fmt: skip
def test_what_the_small_files_tell_is_refused_before_the_weights(
    runtime: Runtime, hub: FakeHub, change: Callable[[FakeHub], None], param: str
) -> None:
    change(hub)
    with pytest.raises(InvalidFile) as refusal:
        from_hub(runtime, WANTED, TINY)
    assert refusal.value.param == param
    assert "config.json" in hub.sent or not (hub.folder / "config.json").exists()
    assert hub.asked == []
    assert left_behind(runtime) == []


@pytest.mark.parametrize("licence", ["mit\0", "x" * 201])
def test_a_licence_that_cannot_be_kept_may_be_told_otherwise(runtime: Runtime, hub: FakeHub, licence: str) -> None:
    hub.licence = licence
    row = from_hub(runtime, Wanted("tiny", None, "cc0", "source.hub"), TINY)
    assert row.licence == "cc0"


@pytest.mark.parametrize("licence", ["mit\0", "x" * 201])
def test_a_licence_of_a_gguf_file_that_cannot_be_kept(runtime: Runtime, licence: str) -> None:
    network = a_network(CONFIGS["gpt2"])
    write_gguf(runtime.storage.import_dir / "odd.gguf", exported(network, licence=licence), "f32")
    with pytest.raises(InvalidFile) as refusal:
        from_folder(runtime, Wanted("tiny", None, None, "source.folder"), "odd.gguf")
    assert refusal.value.param == "licence"
    assert [path.name for path in left_behind(runtime)] == ["odd.gguf"]


def test_what_was_fetched_stays_where_the_disk_is_full(
    runtime: Runtime, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(import_checks, "SPARE_DISK_BYTES", 1 << 60)
        with pytest.raises(NoDiskSpace):
            from_hub(runtime, WANTED, TINY)
    assert hub.asked == [0]
    from_hub(runtime, WANTED, TINY)
    assert hub.asked == [0]
    assert not [path for path in left_behind(runtime) if "import" in path.parts]


def test_what_is_being_imported_is_nobody_elses_to_pull(
    runtime: Runtime, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two imports of one repository share its folder, which goes when the first has ended."""

    def second_meanwhile(*arguments: Any) -> ModelRow:
        with pytest.raises(Conflict):
            from_hub(runtime, Wanted("second", None, None, "source.hub"), TINY)
        return import_model(*arguments)

    monkeypatch.setattr(import_sources, "import_model", second_meanwhile)
    assert from_hub(runtime, WANTED, TINY).name == "tiny"
    monkeypatch.undo()
    assert from_hub(runtime, Wanted("second", None, None, "source.hub"), TINY).name == "second"


def test_a_tokenizer_that_does_not_fit_costs_no_download(runtime: Runtime, hub: FakeHub) -> None:
    a_folder(runtime.storage.import_dir / "m", a_network(CONFIGS["gpt2"]))
    from_folder(runtime, Wanted("fits", None, None, "source.folder"), "m")
    shutil.rmtree(runtime.storage.import_dir / "m")
    config(vocab_size=300)(hub)
    for tokenizer, error in (("fits", InvalidRequest), ("none", TokenizerNotFound)):
        with pytest.raises(error) as refusal:
            from_hub(runtime, Wanted("tiny", tokenizer, None, "source.hub"), TINY)
        assert isinstance(refusal.value, AppError)
        assert refusal.value.param == "tokenizer"
    assert hub.asked == []


def test_weights_that_are_refused_go(runtime: Runtime, hub: FakeHub) -> None:
    weights = hub.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(InvalidFile):
        from_hub(runtime, WANTED, TINY)
    assert hub.asked == [0]
    assert left_behind(runtime) == []


def test_one_file_of_weights_beside_an_index_of_shards(runtime: Runtime, hub: FakeHub) -> None:
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (hub.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert from_hub(runtime, WANTED, TINY).parameters == a_network(CONFIGS["llama"]).parameter_count()


def test_a_gguf_file_is_judged_by_itself(runtime: Runtime, hub: FakeHub) -> None:
    a_gguf(hub.folder / "tiny.gguf", a_network(CONFIGS["gpt2"]))
    (hub.folder / "config.json").write_text("{")
    row = from_hub(runtime, WANTED, HubSource("someone/tiny", file="tiny.gguf"))
    assert (row.family, row.licence) == ("gpt2", "mit")
