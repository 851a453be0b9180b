"""`inkling models` against a running server: import, pull from a hub, export, load, unload, delete."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from app.cli import call, cli
from app.cli import models as models_commands
from app.config import Settings
from app.db.migrate import migrate
from app.db.session import Database
from app.llm.weights.gguf import load_gguf
from app.services.runtime import Runtime
from tests.fake_hub import COMMIT, FakeHub
from tests.jobs_made import a_job
from tests.llm.weights.test_huggingface import load
from tests.no_assets import no_assets
from tests.serving import app_of, served
from tests.weight_files import CONFIGS, a_folder, a_gguf, a_network

Run = Callable[..., str]


@pytest.fixture
def hub(tmp_path: Path) -> FakeHub:
    return FakeHub(a_folder(tmp_path / "hub", a_network(CONFIGS["llama"])))


@pytest.fixture
def run(settings: Settings, hub: FakeHub, tmp_path: Path) -> Iterator[Run]:
    """Runs `inkling models …` against a server of its own, beside a hub; gives what it prints."""
    with served(hub.app()) as hub_port:
        chosen = settings.model_copy(
            update={
                "hub_url": f"http://127.0.0.1:{hub_port}",
                "fetch_private_addresses": True,
                "assets_dir": no_assets(tmp_path / "no-assets"),
            }
        )
        runtime = Runtime.open(chosen)
        migrate(runtime.database)
        with served(app_of(runtime)) as port:

            def run(*words: str) -> str:
                result = CliRunner().invoke(
                    cli, ["models", *words, "--url", f"http://127.0.0.1:{port}"], catch_exceptions=False
                )
                assert result.exit_code == 0, result.output
                return result.stdout

            yield run
        runtime.close()


def test_a_folder_comes_in_and_goes_out_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = a_network(CONFIGS["gpt2"])
    folder = a_folder(tmp_path / "my model", network)
    (folder / "README.md").write_text("left alone")
    assert "model my-model:" in run("import", str(folder), "--licence", "mit")
    told = last_line(run("list", "--json"))["data"]
    assert [(model["name"], model["licence"]) for model in told if model["source"] == "import"] == [("my-model", "mit")]
    assert "my-model" in run()

    assert "out" in run("export", "my-model", "--output", "out")
    ids = torch.arange(20)[None]
    torch.testing.assert_close(load(tmp_path / "out")(ids), network(ids), rtol=0, atol=0)
    run("export", "my-model", "--format", "gguf", "--type", "q8_0")
    assert load_gguf(tmp_path / "my-model.q8_0.gguf").config.emb_dim == 32
    with pytest.raises(call.Refused, match="there already"):
        run("export", "my-model", "--output", "out")
    assert not list(tmp_path.glob(".*.part"))

    assert "loaded" in run("load", "my-model")
    assert "unloaded" in run("unload", "my-model")
    assert "deleted" in run("delete", "my-model")
    with pytest.raises(call.Refused, match="no model 'my-model'"):
        run("export", "my-model", "--output", "again")
    assert not (tmp_path / "again").exists()


def last_line(printed: str) -> dict[str, Any]:
    """The server writes its log beside, as it is of the same process."""
    return json.loads(printed.splitlines()[-1])


def test_the_list_is_whole_in_whatever_pages_it_comes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("pull", "someone/tiny")
    whole = last_line(run("list", "--json"))
    assert [model["name"] for model in whole["data"]] == ["smollm2-135m-instruct", "tiny"]
    monkeypatch.setattr(models_commands, "MOST", 1)
    assert last_line(run("list", "--json")) == whole


def test_a_pull_from_the_hub(run: Run, hub: FakeHub, settings: Settings) -> None:
    told = last_line(run("pull", "someone/tiny", "--json"))
    assert (told["name"], told["family"], told["licence"]) == ("tiny", "llama", "mit")
    assert (told["origin"]["kind"], told["origin"]["location"]) == ("hub", "someone/tiny")
    assert told["origin"]["revision"] == COMMIT
    assert not list((settings.data_dir / "import").rglob("*.safetensors"))  # imported, and not kept twice
    with pytest.raises(call.Refused, match="there is a model 'tiny' already"):
        run("pull", "someone/tiny")
    with pytest.raises(call.Refused, match="no revision 'none'"):
        run("pull", "someone/tiny", "--name", "other", "--revision", "none")
    a_gguf(hub.folder / "tiny.gguf", a_network(CONFIGS["gpt2"]))
    assert last_line(run("pull", "someone/tiny", "--name", "q", "--file", "tiny.gguf", "--json"))["family"] == "gpt2"


def test_what_was_measured_of_a_model(run: Run, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"model": "smollm2-135m-instruct", "rows": 3, "perplexity": 12.34567, "confusion": [[1]]}
    for number in range(3):
        fields = {"model": {"name": entry["model"]}, "evaluate": {"kind": "perplexity", "against": []}}
        report = {"kind": "perplexity", "dataset": "ds_1", "models": [entry]}
        with database.write() as session:
            row = a_job(session, id=f"job_{number}", recipe="evaluate", status="succeeded", report=report, **fields)
            row.finished_at = 5.0
    monkeypatch.setattr(models_commands, "MOST", 1)
    lines = run("evaluations", "smollm2-135m-instruct").splitlines()
    assert [line.split()[0] for line in lines if "perplexity 12.35" in line] == ["job_2", "job_1", "job_0"]
    told = last_line(run("evaluations", "smollm2-135m-instruct", "--json"))
    assert [one["job"] for one in told["data"]] == ["job_2", "job_1", "job_0"]
    with pytest.raises(call.Refused, match="no model 'nothing'"):
        run("evaluations", "nothing")


def test_what_is_refused_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(call.Refused, match="holds no file of a model"):
        run("import", str(tmp_path / "empty"))
    (tmp_path / "empty" / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(call.Refused, match="save_pretrained"):
        run("import", str(tmp_path / "empty"))
