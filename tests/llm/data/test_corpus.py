"""Token files: the ids of the whole text, however it was cut, and nothing half-written."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.llm.data import corpus
from app.llm.data.corpus import end_of_text, pieces, read_ids, write_ids, write_texts
from app.llm.errors import UnknownToken
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.tiktoken_data import PUBLISHED, load
from app.llm.tokenizer.word import WordTokenizer

HARD = "It's 3  pm.\r\n\n  naïve  \té́ x !!\n\n\nÄ b... 12 345 don't 'tis\u00a0here 日本 語 \n"


@pytest.fixture(scope="module")
def gpt2(assets: Path) -> Tokenizer:
    return load("gpt2", assets / "tiktoken")


def chunks_of(text: str, seed: int) -> Iterator[str]:
    generator, at = random.Random(seed), 0
    while at < len(text):
        size = generator.randint(1, 9)
        yield text[at : at + size]
        at += size


@pytest.mark.parametrize("seed", range(20))
def test_pieces_have_the_ids_of_the_whole_text(gpt2, verdict, seed):
    generator = random.Random(seed)
    text = HARD + verdict[generator.randrange(20_000) :][:400] + "".join(generator.choices(HARD, k=200))
    for tokenizer in (gpt2, WordTokenizer.build(text, version=1)):
        cut = list(pieces(chunks_of(text, seed)))
        assert "".join(cut) == text
        assert len(cut) > 20
        assert [token for piece in cut for token in tokenizer.encode(piece)] == tokenizer.encode(text)


def test_a_text_without_a_place_to_cut_stays_whole_up_to_a_length(monkeypatch):
    assert list(pieces(iter(["aaa", "aaa", "a.\n\n"]))) == ["aaaaaaa.\n\n"]
    monkeypatch.setattr(corpus, "LONGEST_PIECE", 5)
    assert list(pieces(iter(["aaa", "aaa", "aaa", "aa"]))) == ["aaaaaa", "aaaaa"]


@pytest.mark.parametrize("text", ["1,2,3\n" * 50, "\u6771\u4eac\u306f\u3002\n" * 50, "-- -- ... !!\n" * 50])
def test_numbers_signs_and_chinese_are_cut_too(text):
    """A table of numbers used to be one piece, however long."""
    assert len(list(pieces(chunks_of(text, 1)))) > 10


@pytest.mark.parametrize("name", ["gpt2", "cl100k_base", "o200k_base"])
@pytest.mark.parametrize("seed", range(20))
def test_pieces_are_split_as_the_whole_text(name, seed):
    generator = random.Random(seed)
    text = "".join(generator.choices(HARD + "\u3002\u3001,;/'s\n\r\t  0123", k=500))
    split = [part for piece in pieces(chunks_of(text, seed)) for part in regex.findall(PUBLISHED[name].pattern, piece)]
    assert split == regex.findall(PUBLISHED[name].pattern, text)


def test_a_file_holds_the_ids_of_its_characters(tmp_path: Path, gpt2, verdict):
    """Chapter 5 splits the text, not the ids: 90 % of the characters, then the rest."""
    (tmp_path / "text").write_text(verdict, newline="")
    cut = int(0.9 * len(verdict))
    for name, start, end in [("all", 0, None), ("train", 0, cut), ("rest", cut, None)]:
        write_ids(tmp_path / "text", tmp_path / name, gpt2, start, end)
        assert read_ids(tmp_path / name, gpt2.vocab_size).tolist() == gpt2.encode(verdict[start:end])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "rest", "text", "train"]


def test_the_books_split(golden, tmp_path: Path, gpt2, verdict):
    expected = golden("ch05.split")["expected"]
    (tmp_path / "text").write_text(verdict)
    write_ids(tmp_path / "text", tmp_path / "train", gpt2, 0, expected["split_index"])
    write_ids(tmp_path / "text", tmp_path / "val", gpt2, expected["split_index"])
    counts = [len(read_ids(tmp_path / name, gpt2.vocab_size)) for name in ("train", "val")]
    assert counts == [expected["train_tokens_total"], expected["val_tokens_total"]]


def test_line_ends_are_kept_as_they_are(tmp_path: Path, gpt2):
    (tmp_path / "text").write_bytes(b"one\r\ntwo\rthree\n")
    write_ids(tmp_path / "text", tmp_path / "ids", gpt2)
    assert gpt2.decode(read_ids(tmp_path / "ids", gpt2.vocab_size).tolist()) == "one\r\ntwo\rthree\n"


def test_two_bytes_an_id_where_they_suffice(tmp_path: Path, gpt2):
    (tmp_path / "text").write_text("one two")
    write_ids(tmp_path / "text", tmp_path / "ids", gpt2)
    assert read_ids(tmp_path / "ids", gpt2.vocab_size).dtype == np.uint16
    assert (tmp_path / "ids").stat().st_size == 4


def test_a_range_without_text_has_no_ids(tmp_path: Path, gpt2):
    (tmp_path / "text").write_text("one two")
    write_ids(tmp_path / "text", tmp_path / "ids", gpt2, start=7)
    assert len(read_ids(tmp_path / "ids", gpt2.vocab_size)) == 0


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_several_threads_write_what_one_call_gives(tmp_path, monkeypatch, gpt2, verdict, cores):
    monkeypatch.setattr(corpus, "PIECE_CHARACTERS", 300)
    monkeypatch.setattr(corpus, "_cores", lambda: cores)
    text = HARD * 20 + verdict
    (tmp_path / "text").write_text(text, newline="")
    told = []
    write_ids(tmp_path / "text", tmp_path / "ids", gpt2, tell=told.append)
    assert read_ids(tmp_path / "ids", gpt2.vocab_size).tolist() == gpt2.encode(text)
    assert len(told) > 20
    assert told == sorted(set(told))
    assert told[-1] == len(text)


@given(st.text(alphabet=st.sampled_from(HARD + "\u3002,;/'s\n\r\t  0123"), max_size=300), st.integers(1, 40))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_written_as_the_whole_of_it(tmp_path_factory, gpt2, text, size):
    folder = tmp_path_factory.mktemp("any")
    (folder / "text").write_text(text, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "PIECE_CHARACTERS", size)
        write_ids(folder / "text", folder / "ids", gpt2)
    assert read_ids(folder / "ids", gpt2.vocab_size).tolist() == gpt2.encode(text)


class Slow:
    """A tokenizer that gets on only when so many threads are in it at once."""

    vocab_size = 10

    def __init__(self, together: int) -> None:
        self.barrier = threading.Barrier(together)

    def encode(self, _text: str, *, parse_special: bool = False) -> list[int]:
        self.barrier.wait(timeout=30)  # passes only once that many are in here
        return [1]


def test_the_cores_work_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "PIECE_CHARACTERS", 4)
    monkeypatch.setattr(corpus, "_cores", lambda: 3)
    (tmp_path / "text").write_text(" ".join(["aaa"] * 9))  # nine pieces
    write_ids(tmp_path / "text", tmp_path / "ids", Slow(together=3))
    assert len(read_ids(tmp_path / "ids", 10)) == 9


def test_work_that_is_ended_leaves_no_file_and_no_thread(tmp_path, monkeypatch, gpt2, verdict):
    monkeypatch.setattr(corpus, "PIECE_CHARACTERS", 300)
    (tmp_path / "text").write_text(verdict)
    checks = []

    def check() -> None:
        checks.append(1)
        if len(checks) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_ids(tmp_path / "text", tmp_path / "ids", gpt2, check=check)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("encode")]


def test_an_unknown_word_leaves_no_file(tmp_path: Path):
    (tmp_path / "text").write_text("one two three")
    with pytest.raises(UnknownToken):
        write_ids(tmp_path / "text", tmp_path / "ids", WordTokenizer.build("one two", version=1))
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_an_end_of_text_token_stands_behind_each_of_several_texts(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "PIECE_CHARACTERS", 8)
    texts = ["one two three one", "two", "three one two"]
    tokenizer = WordTokenizer.build(" ".join(texts), version=2)
    end = end_of_text(tokenizer)
    assert end == tokenizer.special_tokens["<|endoftext|>"]
    checks = []
    write_texts(texts, tmp_path / "ids", tokenizer, end, lambda: checks.append(1))
    expected = [token for text in texts for token in (*tokenizer.encode(text), end)]
    assert read_ids(tmp_path / "ids", tokenizer.vocab_size).tolist() == expected
    assert len(checks) > 2
    assert end_of_text(WordTokenizer.build("one", version=1)) is None


def test_texts_that_cannot_all_be_encoded_leave_no_file(tmp_path):
    with pytest.raises(UnknownToken):
        write_texts(["one", "two"], tmp_path / "ids", WordTokenizer.build("one", version=1), 0)
    assert list(tmp_path.iterdir()) == []
