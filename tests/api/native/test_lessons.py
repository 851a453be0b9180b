"""The lessons' routes over the wire: what they refuse, what holds whatever is drawn. The book's numbers are checked by
`tests/api/pages/lessons/`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from app.config import Settings
from app.main import create_app
from app.services import lesson_labelled, lesson_texts, machine
from app.services.lesson_numbers import seeded

VECTORS = [[0.43, 0.15, 0.89], [0.55, 0.87, 0.66], [0.05, 0.8, 0.55]]


@pytest.fixture(scope="module")
def client(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("lessons")
    (folder / "assets").mkdir()
    os.symlink(assets / "tiktoken", folder / "assets" / "tiktoken")
    settings = Settings(
        _env_file=None, data_dir=folder / "data", assets_dir=folder / "assets", database_url="", broker_url=""
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        yield made


def ask(client: TestClient, lesson: str, **body: object) -> dict:
    answer = client.post(f"/lessons/{lesson}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(client: TestClient, lesson: str, **body: object) -> tuple[int, str, str | None]:
    content = json.dumps(body)
    answer = client.post(f"/lessons/{lesson}", content=content, headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["code"], error["param"]


@pytest.mark.parametrize("kind", ["simple", "matrices", "layers", "causal", "heads"])
def test_weights_are_shares_of_one(client: TestClient, kind: str) -> None:
    answer = ask(client, "attention", kind=kind, vectors=VECTORS)
    assert [sum(row) for head in answer["weights"] for row in head] == pytest.approx([1.0] * 3 * len(answer["weights"]))
    assert len(answer["weights"]) == len(answer["scores"]) == (2 if kind == "heads" else 1)
    assert len(answer["context"]) == 3
    assert (answer["queries"] is None) == (kind == "simple")


@pytest.mark.parametrize("kind", ["causal", "heads"])
def test_what_comes_later_is_not_seen(client: TestClient, kind: str) -> None:
    whole = ask(client, "attention", kind=kind, vectors=VECTORS, seed=4)
    shorter = ask(client, "attention", kind=kind, vectors=VECTORS[:2], seed=4)
    for row, other in zip(whole["context"], shorter["context"], strict=False):
        assert row == pytest.approx(other, abs=1e-6)
    assert all(head[0][1:] == [None, None] for head in whole["scores"])
    assert all(head[0] == [1.0, 0.0, 0.0] for head in whole["weights"])


def test_a_seed_is_the_same_each_time_and_nobody_elses_draws_are_touched(client: TestClient) -> None:
    before = torch.random.get_rng_state()
    first, second = (ask(client, "attention", kind="layers", vectors=VECTORS, seed=5) for _ in range(2))
    assert first == second
    assert first != ask(client, "attention", kind="layers", vectors=VECTORS, seed=6)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_two_lessons_at_once_draw_one_after_the_other() -> None:
    """Each has the global generator to itself, or one would draw what the other was to."""
    drawn: dict[int, float] = {}

    def draw(seed: int) -> None:
        with seeded(seed):
            torch.rand(100_000)
            drawn[seed] = torch.rand(1).item()

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, value in drawn.items():
        torch.manual_seed(seed)
        torch.rand(100_000)
        assert value == torch.rand(1).item()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"kind": "simple", "seed": 1}, "seed"),
        ({"kind": "simple", "d_out": 2}, "d_out"),
        ({"kind": "causal", "num_heads": 2}, "num_heads"),
        ({"kind": "heads", "num_heads": 3, "d_out": 4}, "num_heads"),
        ({"kind": "layers", "vectors": [[1.0], [1.0, 2.0]]}, "vectors"),
        ({"kind": "layers", "vectors": [[]]}, "vectors.0"),
        ({"kind": "layers", "vectors": [[1.0]] * 17}, "vectors"),
        ({"kind": "layers", "vectors": [["1"]]}, "vectors.0.0"),
        ({"kind": "layers", "vectors": [[1e300]]}, "vectors.0.0"),
        ({"kind": "layers", "seed": -1}, "seed"),
        ({"kind": "layers", "dropout": 0.5}, "dropout"),
    ],
)
def test_attention_refuses(client: TestClient, fields: dict[str, object], param: str) -> None:
    status, _, told = refusal(client, "attention", **{"vectors": VECTORS} | fields)
    assert (status, told) == (422, param)


def test_a_normed_row_has_mean_0_and_variance_1_whatever_was_drawn(client: TestClient) -> None:
    answer = ask(client, "layer-norm", rows=4, inputs=7, features=9, seed=8)
    assert len(answer["before"]) == 4
    assert answer["mean_after"] == pytest.approx([0.0] * 4, abs=1e-5)
    assert all(variance == pytest.approx(1.0, abs=0.01) for variance in answer["variance_after"])


def test_a_feed_forward_part_bends_and_keeps_its_shape(client: TestClient) -> None:
    values = [-4.0, -1.0, 0.0, 1.0, 4.0]
    answer = ask(client, "feed-forward", values=values, emb_dim=10, batch_size=1, tokens=7)
    known = torch.nn.functional.gelu(torch.tensor(values), approximate="tanh")
    assert answer["gelu"] == pytest.approx(known.tolist(), abs=1e-6)
    assert answer["relu"] == [0.0, 0.0, 0.0, 1.0, 4.0]
    assert answer["shapes"] == [[1, 7, 10], [1, 7, 40], [1, 7, 10]]
    assert answer["parameters"] == 10 * 40 + 40 + 40 * 10 + 10
    assert refusal(client, "feed-forward", values=[])[::2] == (422, "values")
    assert refusal(client, "feed-forward", values=[1.0], emb_dim=0)[::2] == (422, "emb_dim")


def test_layers_without_gradient_and_misfits(client: TestClient) -> None:
    answer = ask(client, "shortcuts", layer_sizes=[2, 2], vector=[1.0, 2.0], seed=1)
    assert len(answer["without"]) == len(answer["with_shortcuts"]) == 1
    assert refusal(client, "shortcuts", vector=[1.0]) == (422, "invalid_value", "vector")
    assert refusal(client, "shortcuts", layer_sizes=[3])[::2] == (422, "layer_sizes")


def test_sizes_of_other_presets(client: TestClient, golden) -> None:
    for preset, name in (("gpt2-355m", "gpt2-medium"), ("gpt2-774m", "gpt2-large"), ("gpt2-1558m", "gpt2-xl")):
        expected = golden("ch04.params")["expected"][name]
        answer = ask(client, "size", preset=preset)
        assert (answer["parameters"], answer["tied"]) == (expected["total"], expected["tied"])
        parts = answer["blocks"] * answer["block"] + 2 * answer["head"] + answer["position_embedding"]
        assert answer["parameters"] == parts + 2 * expected["emb_dim"]
        assert answer["classifier"] is None
    assert refusal(client, "size", preset="llama-tiny") == (422, "invalid_value", "preset")
    assert refusal(client, "size", preset="gpt-9") == (422, "invalid_value", "preset")
    assert refusal(client, "size", classes=1)[::2] == (422, "classes")


def test_a_temperature_changes_shares_and_a_filter_leaves_out(client: TestClient) -> None:
    words = {"words": ["a", "b", "c"], "logits": [2.0, 1.0, 0.0]}
    cold, warm = ask(client, "sampling", **words, temperatures=[0.5, 2.0], draws=50)["distributions"]
    assert cold["probabilities"][0] > warm["probabilities"][0]
    assert sum(cold["counts"]) == sum(warm["counts"]) == 50
    [kept] = ask(client, "sampling", **words, top_k=1)["distributions"]
    assert (kept["probabilities"], kept["counts"]) == ([1.0, 0.0, 0.0], [1000, 0, 0])
    assert refusal(client, "sampling", words=["a", "b"], logits=[1.0, 2.0, 3.0])[::2] == (422, "logits")
    assert refusal(client, "sampling", **words, temperatures=[0.0])[::2] == (422, "temperatures.0")


def test_losses_are_torchs(client: TestClient) -> None:
    logits, targets = [[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]], [1, 0]
    answer = ask(client, "cross-entropy", logits=logits, targets=targets)
    known = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(targets), reduction="none")
    assert answer["losses"] == pytest.approx(known.tolist())
    assert answer["loss"] == pytest.approx(known.mean().item())
    one = ask(client, "cross-entropy", logits=logits, targets=[1, -100])
    assert (one["losses"][1], one["loss"]) == (None, pytest.approx(known[0].item()))


@pytest.mark.parametrize(
    ("logits", "targets", "param"),
    [
        ([[1.0, 2.0]], [2], "targets.0"),
        ([[1.0, 2.0]], [-1], "targets.0"),
        ([[1.0, 2.0]], [-100], "targets"),
        ([[1.0, 2.0]], [0, 1], "targets"),
        ([[1.0, 2.0], [1.0]], [0, 0], "logits"),
    ],
)
def test_cross_entropy_refuses(client: TestClient, logits: object, targets: object, param: str) -> None:
    assert refusal(client, "cross-entropy", logits=logits, targets=targets) == (422, "invalid_value", param)


def test_a_vocabulary_of_the_story(client: TestClient) -> None:
    answer = ask(client, "vocabulary", dataset="the-tide-clock", text="the zeppelin <|endoftext|>")
    assert [entry["word"] for entry in answer["last"][-2:]] == ["<|endoftext|>", "<|unk|>"]
    assert answer["last"][-1]["id"] == answer["vocab_size"] - 1
    assert (answer["unknown"], answer["ids"][2]) == (1, answer["vocab_size"] - 2)
    assert answer["decoded"] == "the <|unk|> <|endoftext|>"
    assert answer["words"] > answer["vocab_size"]


def test_vocabulary_refuses(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    story = {"dataset": "the-tide-clock", "text": "zeppelin"}
    assert refusal(client, "vocabulary", **story, version=1) == (422, "unknown_word", "text")
    assert refusal(client, "vocabulary", dataset="nowhere", text="a") == (404, "dataset_not_found", "dataset")
    assert refusal(client, "vocabulary", dataset="small-tasks", text="a") == (422, "invalid_value", "dataset")
    monkeypatch.setattr(lesson_texts, "MAX_VOCABULARY_CHARACTERS", 100)
    assert refusal(client, "vocabulary", **story) == (413, "too_large", "dataset")


def test_pieces_join_to_the_text(client: TestClient) -> None:
    text = 'One,  two -- and\n"three".'
    for pattern in ("white_space", "commas_and_stops", "all_punctuation"):
        assert "".join(ask(client, "split", text=text, pattern=pattern)["pieces"]) == text
    assert refusal(client, "split", text="")[::2] == (422, "text")
    assert refusal(client, "split", text="\ud800")[::2] == (422, "text")


def test_a_prompt_without_input_and_in_another_style(client: TestClient) -> None:
    alpaca = ask(client, "prompt", instruction="Say no.", output="No.")
    assert "### Input" not in alpaca["text"]
    assert alpaca["text"].endswith("### Response:\nNo.")
    phi3 = ask(client, "prompt", instruction="Say no.", output="No.", template="phi3")
    assert phi3["text"] == "<|user|>\nSay no.\n<|assistant|>:\nNo."
    assert phi3["prompt_tokens"] < phi3["tokens"] < alpaca["tokens"]


def test_rows_are_balanced_and_cut_in_three(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask(client, "labelled", dataset="ferry-messages", train=0.5, validation=0.25, batch_size=7)
    smallest = min(one["rows"] for one in answer["labels"])
    assert answer["rows"] == sum(one["rows"] for one in answer["labels"]) == 200
    assert answer["kept"] == smallest * len(answer["labels"])
    sizes = [answer[part]["rows"] for part in ("train", "validation", "test")]
    assert sum(sizes) == answer["kept"]
    assert sizes[:2] == [answer["kept"] // 2, answer["kept"] // 4]
    assert (answer["train"]["batches"], answer["test"]["batches"]) == (sizes[0] // 7, -(-sizes[2] // 7))
    assert ask(client, "labelled", dataset="ferry-messages", balanced=False)["kept"] == 200
    assert refusal(client, "labelled", dataset="nowhere") == (404, "dataset_not_found", "dataset")
    assert refusal(client, "labelled", dataset="the-tide-clock") == (422, "invalid_value", "dataset")
    assert refusal(client, "labelled", dataset="ferry-messages", label="colour")[0] == 422
    assert refusal(client, "labelled", dataset="ferry-messages", train=0.9)[::2] == (422, "validation")
    monkeypatch.setattr(lesson_labelled, "MAX_ROWS", 100)
    assert refusal(client, "labelled", dataset="ferry-messages") == (413, "too_large", "dataset")


def test_a_batch_is_cut_to_its_length(client: TestClient) -> None:
    answer = ask(client, "collate", rows=[[1, 2, 3], [4]], pad_id=9, max_length=2)
    assert answer == {"inputs": [[1, 2], [4, 9]], "targets": [[2, 3], [9, -100]]}
    assert refusal(client, "collate", rows=[[]])[::2] == (422, "rows.0")


def test_a_mixture_reads_by_shares(client: TestClient) -> None:
    sources = [{"name": "small", "tokens": 10, "share": 1}, {"name": "large", "tokens": 1000, "share": 3}]
    small, large = ask(client, "mixture", sources=sources, read=400)["sources"]
    assert (small["tokens_read"], small["epochs"]) == (100, 10.0)
    assert (large["share"], large["epochs"]) == (0.75, 0.3)
    assert refusal(client, "mixture", sources=[], read=1)[::2] == (422, "sources")
    assert refusal(client, "mixture", sources=[{"name": "a", "tokens": 1, "share": 0}], read=1)[2] == "sources.0.share"


def test_an_untrained_model_guesses_blindly(client: TestClient) -> None:
    answer = ask(client, "untrained", texts=["A", "The tide turned"], seed=1, max_new_tokens=1)
    assert [len(each["guesses"]) for each in answer["texts"]] == [0, 2]
    assert [len(each["ids"]) for each in answer["texts"]] == [2, 4]
    assert 9 < answer["loss"] < 14
    assert answer["texts"][1]["text"].startswith("The tide turned")


def test_untrained_refuses(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(client, "untrained", texts=[])[::2] == (422, "texts")
    assert refusal(client, "untrained", texts=["a", ""])[::2] == (422, "texts.1")
    assert refusal(client, "untrained", texts=["a"], context_length=512)[::2] == (422, "context_length")
    long = {"texts": ["a", "a b " * 90], "max_new_tokens": 50}
    assert refusal(client, "untrained", **long) == (422, "context_length_exceeded", "texts.1")
    monkeypatch.setattr(machine, "memory_bytes", lambda: 1 << 30)
    assert refusal(client, "untrained", texts=["a"])[:2] == (422, "does_not_fit")
