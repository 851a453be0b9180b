"""What clients ask at once, for locust: texts and streams, chats, tokens, verdicts, pages, lists, files that
come and go.

Any answer but the one that is meant counts as failed, and so does a stream without its end.
"""

from __future__ import annotations

import json
import random
from typing import Any

from locust import HttpUser, between, task

MODEL, CLASSIFIER, LISTED = "chatty", "sorter", "the-tide-clock"
PAGES = ("/", "/ui/tokens", "/ui/models", "/ui/datasets", "/ui/jobs", "/ui/train", "/ui/learn", f"/ui/models/{MODEL}")
WORDS = ("the sea", "was calm", "and", "a small boat", "lay near", "the shore", "while", "someone", "sang", "of home")
ROWS = "label,text\n" + "".join(f"{'ham' if number % 2 else 'spam'},row {number}\n" for number in range(200))


class Client(HttpUser):
    wait_time = between(0.1, 0.4)

    def on_start(self) -> None:
        self.dice = random.Random()

    def words(self, most: int = 12) -> str:
        return " ".join(self.dice.choices(WORDS, k=self.dice.randint(1, most)))

    def ask(self, method: str, path: str, name: str | None = None, status: int = 200, **sent: Any) -> Any:
        with self.client.request(method, path, name=name or f"{method} {path}", catch_response=True, **sent) as answer:
            if answer.status_code != status:
                answer.failure(f"{answer.status_code}: {answer.text[:300]}")
                return None
            return answer.json() if answer.headers.get("content-type", "").startswith("application/json") else None

    def follow(self, path: str, body: dict[str, Any]) -> None:
        name = f"POST {path} (stream)"
        with self.client.post(path, json=body, name=name, stream=True, catch_response=True) as answer:
            events = [line.removeprefix(b"data: ") for line in answer.iter_lines() if line.startswith(b"data: ")]
            if answer.status_code != 200 or len(events) < 2 or events[-1] != b"[DONE]":
                answer.failure(f"{answer.status_code}: no end after {len(events)} events")
            elif any("error" in json.loads(event) for event in events[:-1]):
                answer.failure(f"an error in the stream: {events[-2][:300]!r}")

    @task(6)
    def generate(self) -> None:
        body = {"model": MODEL, "prompt": self.words(), "max_new_tokens": self.dice.randint(1, 24), "n": 2}
        self.ask("POST", "/generate", json=body)

    @task(6)
    def generate_stream(self) -> None:
        body = {"model": MODEL, "prompt": self.words(), "max_new_tokens": 16, "stream": True, "stop": ["sea"]}
        self.follow("/generate", body)

    @task(3)
    def chat(self) -> None:
        messages = [{"role": "user", "content": self.words()}]
        self.ask("POST", "/v1/chat/completions", json={"model": MODEL, "messages": messages, "max_tokens": 8})

    @task(3)
    def chat_stream(self) -> None:
        messages = [{"role": "user", "content": self.words()}]
        body = {"model": MODEL, "messages": messages, "max_tokens": 12, "stream": True}
        self.follow("/v1/chat/completions", body)

    @task(6)
    def tokenize(self) -> None:
        self.ask("POST", "/tokenize", json={"text": self.words(200), "tokenizer": MODEL})

    @task(3)
    def classify(self) -> None:
        self.ask("POST", "/classify", json={"model": CLASSIFIER, "input": [self.words(), self.words()]})

    @task(2)
    def embed(self) -> None:
        self.ask("POST", "/v1/embeddings", json={"model": MODEL, "input": self.words()})

    @task(2)
    def inspect(self) -> None:
        self.ask("POST", "/inspect", json={"model": MODEL, "text": self.words(6), "want": ["attention", "loss"]})

    @task(5)
    def look(self) -> None:
        self.ask("GET", self.dice.choice(PAGES), name="GET page")

    @task(4)
    def list_all(self) -> None:
        jobs = self.ask("GET", "/jobs", params={"limit": 10})
        for job in (jobs or {"data": []})["data"][:2]:
            self.ask("GET", f"/jobs/{job['id']}", name="GET /jobs/{job_id}")
            self.ask("GET", f"/jobs/{job['id']}/metrics", name="GET /jobs/{job_id}/metrics")
        self.ask("GET", f"/datasets/{LISTED}/preview", params={"limit": 5})
        self.ask("GET", "/metrics")

    @task(2)
    def upload(self) -> None:
        made = self.ask("POST", "/datasets", status=201, files={"file": ("rows.csv", ROWS.encode())})
        if made is not None:
            path = f"/datasets/{made['id']}"
            self.ask("GET", f"{path}/preview", name="GET /datasets/{dataset_id}/preview")
            self.ask("DELETE", path, name="DELETE /datasets/{dataset_id}")
