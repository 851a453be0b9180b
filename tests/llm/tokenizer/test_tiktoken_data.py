import shutil
import socket

import pytest
import tiktoken
from tiktoken_ext import openai_public

from app.llm.errors import MissingData
from app.llm.tokenizer import tiktoken_data
from app.llm.tokenizer.tiktoken_data import PUBLISHED
from tests.conftest import SHARED_DATA
from tests.golden_facts import FACTS

HERE = ["gpt2", "r50k_base", "p50k_base"]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_we_know_of_an_encoding_is_what_tiktoken_knows(name, monkeypatch):
    asked = {}

    def ranks(*arguments: str, **named: str) -> dict[bytes, int]:
        asked["url"] = named.get("vocab_bpe_file") or arguments[0]
        asked["sha256"] = named.get("vocab_bpe_hash") or named["expected_hash"]
        return {}

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", ranks)
    monkeypatch.setattr(openai_public, "data_gym_to_mergeable_bpe_ranks", ranks)
    theirs, ours = openai_public.ENCODING_CONSTRUCTORS[name](), PUBLISHED[name]
    assert asked == {"url": ours.url, "sha256": ours.sha256}
    assert (theirs["pat_str"], theirs["special_tokens"]) == (ours.pattern, ours.special_tokens)
    assert theirs.get("explicit_n_vocab", ours.vocab_size) == ours.vocab_size


@pytest.mark.parametrize("name", HERE)
@pytest.mark.usefixtures("no_network")
def test_loaded_from_files_it_is_tiktokens_own(name, assets, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(assets / "tiktoken"))
    theirs, ours = tiktoken.get_encoding(name), tiktoken_data.load(name, assets / "tiktoken")
    assert ours._encoding._mergeable_ranks == theirs._mergeable_ranks
    assert (ours.vocab_size, ours.eos_id) == (theirs.n_vocab, theirs.eot_token)
    text = "def f(x):\n        return  x  # naïve 中 👍🏽\n\n" + "".join(map(chr, range(0, 0x3000, 7)))
    assert ours.encode(text) == theirs.encode_ordinary(text)


@pytest.mark.parametrize("fact", ["ch02.bpe.other_vocab"])
def test_sizes_of_the_other_encodings(fact):
    expected = FACTS[fact]["expected"]
    assert {name: PUBLISHED[name].vocab_size for name in expected} == expected


@pytest.mark.parametrize("fact", ["ch02.bpe.verdict.others"])
def test_the_verdict_in_the_other_encodings(fact, assets, verdict):
    expected = FACTS[fact]["expected"]
    present = [name for name in expected if tiktoken_data.is_present(name, assets / "tiktoken")]
    assert "r50k_base" in present
    for name in present:
        assert len(tiktoken_data.load(name, assets / "tiktoken").encode(verdict)) == expected[name]


@pytest.mark.parametrize("fact", ["data.shakespeare"])
def test_tiny_shakespeare(fact, assets):
    """Its usual split keeps back the last tenth of the characters."""
    path = SHARED_DATA / "tinyshakespeare.txt"
    if not path.exists():
        pytest.skip("needs the tinyshakespeare.txt of the shared data")
    text, expected = path.read_text(), FACTS[fact]["expected"]
    assert (path.stat().st_size, len(set(text))) == (expected["bytes"], expected["unique_chars"])
    gpt2, cut = tiktoken_data.load("gpt2", assets / "tiktoken"), int(0.9 * len(text))
    counts = [len(gpt2.encode(part)) for part in (text, text[:cut], text[cut:])]
    assert counts == [expected[f"gpt2_tokens{part}"] for part in ("", "_90pct", "_10pct")]


@pytest.mark.parametrize("fact", ["ch02.bpe.files"])
def test_files_are_found_under_tiktokens_names(fact, assets):
    expected = FACTS[fact]["expected"]["vocab.bpe"]
    assert PUBLISHED["gpt2"].file_name == expected["tiktoken_cache_name"]
    assert PUBLISHED["gpt2"].sha256 == expected["sha256"]
    assert (assets / "tiktoken" / PUBLISHED["gpt2"].file_name).stat().st_size == expected["bytes"]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.usefixtures("no_network")
def test_what_is_absent_is_said_to_be_and_not_fetched(name, tmp_path):
    assert not tiktoken_data.is_present(name, tmp_path)
    with pytest.raises(MissingData, match=PUBLISHED[name].file_name):
        tiktoken_data.load(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_network")
def test_a_file_that_was_changed_is_not_believed_and_not_removed(assets, tmp_path):
    """tiktoken deletes such a file and goes to the network."""
    copy = tmp_path / PUBLISHED["r50k_base"].file_name
    shutil.copyfile(assets / "tiktoken" / copy.name, copy)
    assert tiktoken_data.is_present("r50k_base", tmp_path)
    copy.write_bytes(copy.read_bytes() + b"\n")
    assert not tiktoken_data.is_present("r50k_base", tmp_path)
    with pytest.raises(MissingData, match="not the file"):
        tiktoken_data.load("r50k_base", tmp_path)
    assert copy.exists()
