"""`inkling inspect` against a real server: tables for people, the server's own answer as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
from typer.testing import CliRunner

from app.cli import cli
from app.cli.call import Refused
from app.llm.config import PRESETS, ModelConfig
from app.llm.model.transformer import Transformer
from tests.fakes import ByteTokenizer, scripted_runtime
from tests.serving import app_of, served


@pytest.fixture
def url(settings, database) -> Iterator[str]:
    torch.manual_seed(0)
    config = ModelConfig(ByteTokenizer.vocab_size, **PRESETS["gpt-tiny"])
    network = Transformer(config).eval().requires_grad_(False)
    runtime = scripted_runtime(settings, database, lambda *_: network)
    with served(app_of(runtime)) as port:
        yield f"http://127.0.0.1:{port}"
    runtime.models.close()


def run(url: str, *words: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["inspect", *words, "--url", url], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tables(url: str) -> None:
    told = run(url, "ab [c", "--layer", "1", "--head", "3")
    assert "attention: layer 1, head 3" in told
    [first, *_, last] = told.split("its columns\n")[1].split("\n\n")[0].splitlines()[1:]
    assert first.split() == ["a", "1.00", "0.00", "0.00", "0.00", "0.00"]
    assert sum(map(float, last.split()[1:])) == pytest.approx(1, abs=0.03)
    assert told.count("[") >= 2
    assert "loss of each token after the first; mean" in told
    assert "logit lens" in told
    assert "next token" in told


def test_a_long_text_is_drawn_in_blocks(url: str) -> None:
    told = run(url, "a" * 40, "--want", "masked", "--want", "attention")
    rows = [line[14:] for line in told.splitlines() if line.startswith("a   ")]
    assert [len(row.rstrip()) <= 40 for row in rows] == [True] * 80
    assert rows[40][0] == "█"  # the first token looks at itself alone
    assert "loss" not in told


def test_a_temperature_counts_for_the_next_tokens(url: str) -> None:
    asked = ["abc", "--want", "attention", "--want", "next"]
    cold, plain = (run(url, *asked, *more).split("next token")[1] for more in (["--temperature", "0"], []))
    assert cold != plain
    with pytest.raises(Refused, match="--want next"):
        run(url, "abc", "--want", "attention", "--temperature", "0.5")


def test_json_is_the_servers_own(url: str) -> None:
    lines = run(url, "abc", "--want", "context", "--want", "norms", "--layer", "0", "--json").splitlines()
    answer = json.loads(next(line for line in lines if line.startswith("{")))  # the server here logs to the same output
    assert answer["context"]["shape"] == [1, 4, 3, 16]
    assert answer["layers"] == [0]
    assert "loss" not in answer


def test_refusals_are_told(url: str) -> None:
    with pytest.raises(Refused, match=r"layers\.0: 7"):
        run(url, "abc", "--layer", "7")
    with pytest.raises(Refused, match="context has no table"):
        run(url, "abc", "--want", "context")
