"""A service with tiny models of a word tokenizer, and evaluations that are run as a worker would run them."""

from __future__ import annotations

import http.server
import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.tables import job as job_table
from app.db.tables.job import JobRow
from app.llm.checkpoint import ModelMeta, Network, save_model
from app.llm.config import AdapterConfig, ClassifierConfig, LoRAConfig, ModelConfig, NetworkConfig
from app.llm.kernels.build import NoKernels
from app.llm.model.adapter import Adapter, worn
from app.llm.model.classifier import Classifier
from app.llm.model.shapes import adapter_shapes
from app.llm.model.transformer import Transformer
from app.main import create_app
from app.services import leases, runners, training
from app.services.runtime import Runtime
from tests.jobs_made import a_model

SHAPE = {"context_length": 64, "emb_dim": 16, "n_heads": 2, "n_layers": 2}
TASKS = [
    {"instruction": "Say where the clock is.", "input": "", "output": "The clock is on the wall."},
    {"instruction": "Say who came.", "input": "Mira came.", "output": "Mira"},
    {"instruction": "Say what the tide does.", "input": "", "output": "The tide turns."},
]


class House:
    """The service, its runtime, and what came of jobs."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.runtime: Runtime = client.app.state.runtime
        with self.runtime.database.read() as session:
            self.tokenizer = self.runtime.tokenizers.get(session, "tides")

    def add_model(self, name: str, seed: int = 1, *, is_spoilt: bool = False) -> Transformer:
        """A model by chance; a spoilt one has weights that are no numbers."""
        torch.manual_seed(seed)
        config = ModelConfig(vocab_size=self.tokenizer.vocab_size, **SHAPE)
        network = Transformer(config).eval()
        if is_spoilt:
            with torch.no_grad():
                network.token_embedding.weight.fill_(math.nan)
        self._add(name, network, config)
        return network

    def add_classifier(self, name: str, classes: tuple[str, ...], threshold: float | None = None) -> Classifier:
        torch.manual_seed(4)
        body = ModelConfig(vocab_size=self.tokenizer.vocab_size, **SHAPE)
        config = ClassifierConfig(body, classes, "last_token", 32, 0, threshold)
        network = Classifier(Transformer(body), len(classes)).eval()
        self._add(name, network, config)
        return network

    def add_adapter(self, name: str, base: Transformer) -> Transformer:
        """An adapter by chance beside the model of `base`; the network as it is with it."""
        config = AdapterConfig(base.config, LoRAConfig(rank=2), name.partition(":")[0])
        draw = torch.Generator().manual_seed(7)
        shapes = {weight.name: weight.shape for weight in adapter_shapes(config)}
        adapter = Adapter(config, {each: torch.randn(shape, generator=draw) for each, shape in shapes.items()})
        self._add(name, adapter, config, base_model=name.partition(":")[0])
        return worn(base, adapter)

    def _add(self, name: str, network: Network | Adapter, config: NetworkConfig, **fields: Any) -> None:
        save_model(self.runtime.storage.model(name), network, ModelMeta(config, "tides", self.tokenizer.eos_id))
        with self.runtime.database.write() as session:
            known = {"family": config.family, "config": config.to_dict(), "tokenizer": "tides", "sha256": name}
            session.add(a_model(name, **known | fields))

    def add_rows(self, rows: list[dict[str, Any]]) -> str:
        content = "".join(json.dumps(row) + "\n" for row in rows)
        made = self.client.post("/datasets", files={"file": ("rows.jsonl", content)})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def ask(self, evaluate: dict[str, Any], **fields: Any) -> Any:
        body = {
            "recipe": "evaluate",
            "model": "one",
            "dataset": "the-tide-clock",
            "evaluate": evaluate,
            "device": "cpu",
        }
        return self.client.post("/jobs", json=body | fields)

    def queued(self, evaluate: dict[str, Any], **fields: Any) -> str:
        answer = self.ask(evaluate, **fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def run(self, should_stop: Callable[[], str | None] = lambda: None) -> JobRow:
        """Run the next job until it ends, or `should_stop` says why it is to."""
        claim = leases.claim(self.runtime.database, "w", 30)
        assert claim is not None
        training.run(self.runtime, claim.job_id, claim.fence, should_stop=should_stop)
        with self.runtime.database.read() as session:
            row = job_table.get(session, claim.job_id)
        assert row is not None
        return row

    def done(self, evaluate: dict[str, Any], **fields: Any) -> str:
        """The id of an evaluation that has succeeded."""
        job_id = self.queued(evaluate, **fields)
        row = self.run()
        assert (row.id, row.status, row.error) == (job_id, "succeeded", None)
        return job_id

    def report(self, job_id: str) -> list[dict[str, Any]]:
        answer = self.client.get(f"/jobs/{job_id}/report")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["models"]
        return found

    def results(self, job_id: str) -> list[dict[str, Any]]:
        answer = self.client.get(f"/jobs/{job_id}/results")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found


def settings_in(folder: Path) -> Settings:
    """For a house that several tests share."""
    return Settings(_env_file=None, data_dir=folder / "data", database_url="", broker_url="", device="cpu")


def no_kernels(_settings: Settings) -> Path:
    raise NoKernels("PyTorch's operators will do here")


@contextmanager
def house_on(settings: Settings, **chosen: Any) -> Iterator[House]:
    """A house with two models, `one` and `two`."""
    fields = {
        "assets_dir": settings.data_dir / "no-assets",
        "default_tokenizer": "tides",
        "judge_private_addresses": True,
    }
    with (
        pytest.MonkeyPatch.context() as patch,
        TestClient(create_app(settings.model_copy(update=fields | chosen)), raise_server_exceptions=False) as client,
    ):
        patch.setattr(runners, "kernels_folder", no_kernels)  # to build them takes a minute
        new = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
        assert client.post("/tokenizers", json=new).status_code == 201
        house = House(client)
        house.add_model("one", 1)
        house.add_model("two", 2)
        yield house


class Answerer(http.server.BaseHTTPRequestHandler):
    """A server of chat completions: answers with what `reply` makes of the prompt, a text, a status, or silence."""

    reply: Callable[[str], str | int | bytes]
    seen: list[tuple[str, dict[str, str], dict[str, Any]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        type(self).seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        said = type(self).reply(body["messages"][0]["content"])
        content = (
            said if isinstance(said, bytes) else json.dumps({"choices": [{"message": {"content": said}}]}).encode()
        )
        self.send_response(said if isinstance(said, int) else 200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None: ...


@contextmanager
def answering(reply: Callable[[str], str | int | bytes]) -> Iterator[tuple[type[Answerer], str]]:
    """The server, and the address to name as a judge's."""
    kind = type("Kind", (Answerer,), {"seen": [], "reply": staticmethod(reply)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kind, f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
