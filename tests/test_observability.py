"""The files for Prometheus and Grafana, judged without them: they ask for figures that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from app.db.tables.stock import Stock
from app.main import create_app
from app.services import keys
from app.services.gpus import Gpu, Gpus
from app.services.inventory import Held, Inventory
from app.services.metrics import Metrics
from tests.locked import locked

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
ALERTS: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "inkling.json").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())
QUERIES = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]


@pytest.fixture(scope="module")
def series() -> set[str]:
    """Names of everything that a process tells once something was answered and something was generated."""
    metrics = Metrics()
    metrics.watch("m")
    metrics.answered("GET", "/", 200, 0.1)
    everything = Inventory(Held({}, 0.0, 0, {"models": Stock(0, 0)}), 0, 0)
    gpu = Gpus((Gpu("cuda:0", "one", 1, 1, 0.5),))
    return set(re.findall(r"^(inkling_\w+)", metrics.written({}, everything, gpu).decode(), re.MULTILINE)) | {
        "inkling_requests_running",
        "inkling_requests_waiting",
        "inkling_kv_cache_usage_ratio",
        "inkling_generation_tokens_total",
        "inkling_prompt_tokens_total",
    }


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_asks_for_figures_that_there_are(query: str, series: set[str]) -> None:
    asked = set(re.findall(r"\binkling_\w+", query))
    assert asked - series == set()
    assert asked or query.startswith("up{")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert all(rule["annotations"][part] for part in ("summary", "description"))
    assert f"`{rule['alert']}`" in (DEPLOY.parent / "docs" / "operations.md").read_text()


def test_panels_of_the_dashboard_do_not_lie_on_each_other() -> None:
    places = {
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    }
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in DASHBOARD["panels"])
    assert max(x for x, _ in places) < 24  # Grafana's columns


def test_prometheus_shows_a_key_that_compose_hands_over() -> None:
    (scrape,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (name,) = COMPOSE["services"]["prometheus"]["secrets"]
    assert scrape["authorization"] == {"credentials_file": f"/run/secrets/{name}"}
    empty = COMPOSE["secrets"][name]["file"].partition(":-")[2].rstrip("}")
    assert (DEPLOY.parent / empty).read_bytes() == b""  # what is sent where no keys are required


def test_such_a_key_opens_the_metrics_and_nothing_else(tmp_path: Path) -> None:
    """As Prometheus sends the file's words; and those of the empty one, where no keys are required."""
    with TestClient(create_app(locked(tmp_path / "locked"))) as client:
        with client.app.state.runtime.database.write() as session:
            key = keys.create(session, "prometheus", ["metrics"]).secret
        sent = {"authorization": f"Bearer {key}"}
        assert client.get("/metrics", headers=sent).status_code == 200
        others = ("/models", "/jobs", "/audit", "/ui/jobs", "/nowhere")
        assert [client.get(path, headers=sent).status_code for path in others] == [403] * len(others)
        assert client.get("/metrics", headers={"authorization": "Bearer "}).status_code == 401
    unlocked = locked(tmp_path / "open").model_copy(update={"require_keys": "false"})
    with TestClient(create_app(unlocked)) as client:
        assert client.get("/metrics", headers={"authorization": "Bearer "}).status_code == 200
