"""Commands that call a server: what they print, how they refuse, and a model trained by one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from tests.cli.conftest import Command
from tests.e2e.conftest import Service, free_port, start_service
from tests.serving import served

SMALL = ("--preset", "gpt-tiny", "--set", "batch_size=2", "--set", "context_length=16")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("service"))
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def calling(inkling: Command, service: Service, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, where the service is the one that its settings start."""
    monkeypatch.setenv("INKLING_PORT", service.url.rpartition(":")[2])
    return inkling


@pytest.mark.e2e
def test_tokens_are_the_same_with_and_without_a_server(calling: Command) -> None:
    wanted = ("tokenize", "Hello, wörld 👍", "--json")
    assert json.loads(calling(*wanted).out) == json.loads(calling(*wanted, "--local").out)
    table = calling("tokenize", "Hello, world").out.splitlines()
    assert [line.split()[0] for line in table] == ["id", "15496", "11", "995", "3"]


@pytest.mark.e2e
def test_text_is_written_as_it_comes_and_as_json(calling: Command) -> None:
    wanted = ("generate", "The capital of France is", "--temperature", "0", "--max-new-tokens", "3")
    answer = json.loads(calling(*wanted, "--json").out)
    assert "Paris" in answer["choices"][0]["text"]
    assert calling(*wanted).out == f"The capital of France is{answer['choices'][0]['text']}\n"
    reply = calling("generate", "Say hello.", "--chat", "--temperature", "0", "--max-new-tokens", "3")
    assert reply.status == 0
    assert reply.out.strip()
    assert "Say hello." not in reply.out


@pytest.mark.e2e
def test_a_conversation_goes_on(calling: Command) -> None:
    said = [{"role": "user", "content": "Say yes."}, {"role": "assistant", "content": "yes"}]
    wanted = ("generate", "Again.", "--chat", "--temperature", "0", "--max-new-tokens", "4", "--json")
    alone, after = (json.loads(calling(*wanted, *more).out) for more in ((), ("--before", json.dumps(said))))
    assert after["usage"]["prompt_tokens"] > alone["usage"]["prompt_tokens"]
    for given, told in (("[", "no JSON"), ("{}", "a list of messages")):
        assert told in calling(*wanted, "--before", given).refusal
    assert "--chat" in calling("generate", "Again.", "--before", "[]").refusal


@pytest.mark.e2e
def test_several_continuations_are_printed_apart(calling: Command) -> None:
    wanted = ("generate", "Once", "--max-new-tokens", "8", "--seed", "3", "--set", "n=3")
    texts = [choice["text"] for choice in json.loads(calling(*wanted, "--json").out)["choices"]]
    assert len(set(texts)) == 3
    assert calling(*wanted).out == f"Once{texts[0]}\n--- 2\nOnce{texts[1]}\n--- 3\nOnce{texts[2]}\n"


@pytest.mark.e2e
def test_a_file_becomes_a_model(calling: Command, verdict: str, tmp_path: Path) -> None:
    (tmp_path / "verdict.txt").write_text(verdict)
    done = calling("train", "verdict.txt", "--name", "by-command", "--steps", "3", *SMALL)
    assert done.status == 0, done.err
    assert done.out.startswith("model by-command; try: inkling generate --model by-command")
    assert "succeeded" in done.err
    assert [line.split()[0] for line in calling("models").out.splitlines()][1:].count("by-command") == 1
    assert "by-command" in [model["name"] for model in json.loads(calling("models", "--json").out)["data"]]
    assert calling("generate", "The", "--model", "by-command", "--max-new-tokens", "4").status == 0

    estimate = calling("train", "verdict.txt", "--steps", "3", "--estimate", *SMALL)
    assert (estimate.status, "3 steps, 96 tokens" in estimate.out) == (0, True), estimate
    (dataset, *_) = (
        row for row in json.loads(calling("datasets", "--json").out)["data"] if row["name"] == "verdict.txt"
    )
    taken = calling("train", dataset["id"], "--name", "by-command", "--steps", "3", *SMALL)
    assert "by-command" in taken.refusal
    assert taken.refusal.endswith("(name_taken)")


@pytest.mark.e2e
def test_a_job_is_queued_shown_and_cancelled(calling: Command, verdict: str, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text(verdict)
    assert "other.txt" in calling("datasets", "--upload", "other.txt").out
    job_id = calling("train", "other.txt", "--steps", "100000", "--no-follow", *SMALL).out.strip()
    assert job_id in calling("jobs").out
    assert calling("jobs", job_id).out.splitlines()[1].split()[2] in ("queued", "running")
    assert calling("jobs", job_id, "--cancel").status == 0
    cancelled = calling("jobs", job_id, "--follow")
    assert "cancelled" in cancelled.out.splitlines()[1].split()
    assert json.loads(calling("jobs", job_id, "--json").out)["status"] == "cancelled"
    assert calling("jobs", job_id, "--cancel").refusal.endswith("(conflict)")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tokenize", "hi", "--tokenizer", "no-such"), "(tokenizer_not_found)"),
        (("generate", "hi", "--model", "no-such"), "(model_not_found)"),
        (("generate", "hi", "--model", "no-such", "--json"), "(model_not_found)"),
        (("generate", "hi", "--max-new-tokens", "0"), "max_new_tokens"),
        (("generate", "hi", "--set", "no_such=1"), "(unknown_field)"),
        (("train", "ds_none"), "(dataset_not_found)"),
        (("jobs", "job_none"), "(job_not_found)"),
    ],
)
def test_a_refusal_of_the_server_is_one_line(calling: Command, arguments: tuple[str, ...], told: str) -> None:
    done = calling(*arguments)
    assert told in done.refusal
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("generate", "x", "--set", "stream=true", "--json"), "stream"),
        (("generate", "x", "--set", "stream=false"), "stream"),
        (("generate", "x", "--set", "top_k"), "name=value"),
        (("tokenize", "caf\udce9"), r"not UTF-8: b'caf\xe9'"),
        (("jobs", "\udcff"), "not UTF-8"),
        (("train", "x", "--model", "a", "--preset", "b"), "--preset"),
        (("train", "x" * 300), "File name too long"),
        (("jobs", "--cancel"), "--cancel wants a job's id"),
        (("jobs", "job_1", "--cancel", "--pause"), "one at a time"),
        (("jobs", "job_1", "--set", "max_steps=1"), "goes with --duplicate"),
        (("jobs", "job_1", "--pause", "--keep-model"), "goes with --cancel"),
        (("jobs", "job_1", "--status", "failed"), "leave the id out"),
        (("jobs", "job_1", "--delete", "--follow"), "cannot be followed"),
    ],
)
def test_a_refusal_of_the_command_is_one_line(inkling: Command, arguments: tuple[str, ...], told: str) -> None:
    assert told in inkling(*arguments).refusal


def test_a_server_that_is_not_there_is_one_line(inkling: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for arguments in (("models",), ("generate", "hi"), ("tokenize", "hi", "--json")):
        assert inkling(*arguments, "--url", url).refusal.startswith(f"nobody answers at {url}")
    monkeypatch.setenv("INKLING_URL", url)
    assert inkling("jobs").refusal.startswith(f"nobody answers at {url}")
    assert "http" in inkling("models", "--url", "nowhere").refusal
    assert "did not answer" in inkling("models", "--url", "http://127.0.0.1:nine").refusal


def test_another_kind_of_server_is_one_line(inkling: Command) -> None:
    app = FastAPI()
    app.add_api_route("/models", lambda: Response("<html>", media_type="text/html"))
    with served(app) as port:
        url = f"http://127.0.0.1:{port}"
        for command in ("models", "jobs"):
            assert inkling(command, "--url", url).refusal.endswith("does not look like Inkling")


def test_a_separator_of_lines_in_a_text_does_not_end_an_event(inkling: Command) -> None:
    """U+2028, U+0085 and the like ended the command: it read lines as Python does, not as events have them."""
    answers = {
        "/good": ['data: {"index": 0, "token": {"text": "a\u2028b\u0085c"}}\n\n', "data: [DONE]\n\n"],
        "/no-json": ["data: {\n\n"],
        "/no-object": ["data: 1\n\n"],
        "/too-deep": [f"data: {'[' * 100_000}\n\n"],
    }
    app = FastAPI()
    for prefix, events in answers.items():
        said = lambda events=events: StreamingResponse(iter(events), media_type="text/event-stream")  # noqa: E731
        app.add_api_route(f"{prefix}/generate", said, methods=["POST"])
    with served(app) as port:
        url = f"http://127.0.0.1:{port}"
        done = inkling("generate", "hi", "--url", f"{url}/good")
        assert (done.status, done.out) == (0, "hia\u2028b\u0085c\n")
        for prefix in ("/no-json", "/no-object", "/too-deep"):
            assert "does not look like Inkling" in inkling("generate", "hi", "--url", url + prefix).refusal
