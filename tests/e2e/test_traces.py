"""One trace through every process that a job goes through, taken by a collector; and none where nobody takes it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.collector import Collector, SpanSent, collecting
from tests.e2e.conftest import Service, free_port, start_service
from tests.weight_files import CONFIGS, a_folder, a_network

pytestmark = pytest.mark.e2e

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GENERATED = "1" * 32
SECRET = "a-word-that-nobody-may-read"


def test_a_job_is_one_trace_over_server_worker_and_trainer(tmp_path: Path, assets: Path, verdict: str) -> None:
    with collecting() as collector:
        service = start_service(tmp_path, otlp_endpoint=collector.url, log_format="json")
        try:
            trained(service, f"{verdict} {SECRET}", traceparent=f"00-{TRACE}-{CALLER}-01")
            generated(service, tmp_path, traceparent=f"00-{GENERATED}-{CALLER}-01")
            httpx.get(f"{service.url}/tokenizers/gpt2/merges", params={"text": SECRET}).raise_for_status()
            httpx.get(f"{service.url}/metrics").raise_for_status()
        finally:
            status = service.stop()  # what waits to be sent is sent then
        assert status == 0, service.log.read_text()
        the_job_is_one_tree(collector)
        the_answer_tells_its_parts(collector)
        assert SECRET.encode() not in b"".join(collector.bodies)
        assert {span.name for span in collector.spans if "metrics" in span.name or "healthz" in span.name} == set()
        lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
        assert {line["event"] for line in lines if line.get("trace_id") == TRACE} >= {"job_claimed"}


def the_job_is_one_tree(collector: Collector) -> None:
    spans = [span for span in collector.spans if span.trace_id == TRACE]
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    parents = {(span.name, by_id[span.parent_id].name if span.parent_id != CALLER else "") for span in spans}
    assert parents == {
        ("POST /jobs", ""),
        ("nudge", "POST /jobs"),
        ("attempt", "POST /jobs"),
        ("trainer", "attempt"),
        ("prepare", "trainer"),
        ("evaluation", "trainer"),
        ("sample", "trainer"),
        ("checkpoint", "trainer"),
        ("finish", "trainer"),
    }
    services = {"POST /jobs": "inkling-web", "nudge": "inkling-web", "attempt": "inkling-worker"}
    assert all(span.service == services.get(span.name, "inkling-trainer") for span in spans)
    assert all(by_id[span.parent_id].began_ns <= span.began_ns for span in spans if span.parent_id != CALLER)
    inside = [span for span in spans if span.service == "inkling-trainer"]
    assert all(span.ended_ns <= by_id[span.parent_id].ended_ns for span in inside)
    assert not any(span.is_error for span in spans)
    steps = sorted(span.attributes["inkling.step"] for span in spans if span.name == "checkpoint")
    assert steps == [10, 20]


def the_answer_tells_its_parts(collector: Collector) -> None:
    spans = {span.name: span for span in collector.spans if span.trace_id == GENERATED}
    assert set(spans) == {"POST /generate", "generate", "queue", "prefill", "decode"}
    whole = spans["generate"]
    assert (whole.parent_id, spans["POST /generate"].parent_id) == (spans["POST /generate"].span_id, CALLER)
    assert (whole.attributes["inkling.tokens"], whole.attributes["inkling.reason"]) == (5, "length")
    assert spans["prefill"].attributes["inkling.prompt_tokens"] == whole.attributes["inkling.prompt_tokens"] > 0
    parts: list[SpanSent] = [spans[name] for name in ("queue", "prefill", "decode")]
    assert all(part.parent_id == whole.span_id for part in parts)
    times = [time_ns for part in parts for time_ns in (part.began_ns, part.ended_ns)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (whole.began_ns, whole.ended_ns)


def test_without_a_collector_all_is_done_as_ever(tmp_path: Path, assets: Path, verdict: str) -> None:
    service = start_service(tmp_path, otlp_endpoint=f"http://127.0.0.1:{free_port()}", log_format="json")
    try:
        trained(service, verdict)
        generated(service, tmp_path)
        began = time.monotonic()
    finally:
        status = service.stop()
    assert status == 0, service.log.read_text()
    assert time.monotonic() - began < 30
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    told = [line["event"] for line in lines if "export" in line["event"]]
    assert 1 <= len(told) <= 6  # a line a minute of each process, not one a span


def trained(service: Service, text: str, **headers: str) -> None:
    files = {"file": ("text.txt", text.encode(), "text/plain")}
    dataset = answer(httpx.post(f"{service.url}/datasets", files=files, timeout=60))
    small = {"vocab_size": 50257, "context_length": 32, "emb_dim": 16, "n_heads": 2, "n_layers": 1}
    train = {"max_steps": 20, "batch_size": 2, "eval_every": 10, "sample_every": 20, "checkpoint_every": 10}
    asked = {"recipe": "pretrain", "dataset": dataset["id"], "model": small, "train": train, "name": "traced"}
    job = answer(httpx.post(f"{service.url}/jobs", json=asked, headers=headers, timeout=60))
    deadline = time.monotonic() + 180
    while job["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, job
        time.sleep(0.2)
        job = answer(httpx.get(f"{service.url}/jobs/{job['id']}", timeout=30))
    assert job["status"] == "succeeded", job


def generated(service: Service, folder: Path, **headers: str) -> None:
    made = a_folder(folder / "tiny", a_network(replace(CONFIGS["llama"], context_length=256)))
    files = [("files", (path.name, path.read_bytes())) for path in sorted(made.iterdir())]
    answer(httpx.post(f"{service.url}/models/upload", data={"name": "tiny"}, files=files, timeout=60))
    body = {"model": "tiny", "prompt": SECRET, "max_new_tokens": 5}
    answer(httpx.post(f"{service.url}/generate", json=body, headers=headers, timeout=60))


def answer(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()
