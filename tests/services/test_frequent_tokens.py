"""Which tokens a dataset has most of: all of it where it is short, parts from all over it where it is long."""

from __future__ import annotations

from collections import Counter

import pytest

from app.config import Settings
from app.db.tables.dataset import DatasetRow
from app.errors import DataMissing, UnknownWord
from app.llm.tokenizer.word import WordTokenizer
from app.services import frequent_tokens
from app.services.dataset_texts import Source
from app.services.storage import Storage
from tests.fakes import ByteTokenizer


@pytest.fixture
def storage(settings: Settings) -> Storage:
    made = Storage(settings.data_dir, settings.assets_dir, settings.effective_import_dir)
    made.prepare()
    return made


def a_text(storage: Storage, text: str) -> Source:
    storage.dataset("ds_1").write_text(text)
    return Source(DatasetRow(id="ds_1", name="t.txt", rows=None, characters=len(text)))


def test_of_equal_ones_the_lower_id_comes_first(storage: Storage) -> None:
    tokenizer = WordTokenizer(["a", "b", "c", "d", "<|endoftext|>", "<|unk|>"], 2)
    found = frequent_tokens.count(storage, tokenizer, a_text(storage, "d c c a d zebra"), 3, "dataset")
    assert (found.ids, found.counts, found.tokens, found.sampled) == ([2, 3, 0], [2, 2, 1], 6, False)
    everything = frequent_tokens.count(storage, tokenizer, a_text(storage, "d c c a d"), 99, "dataset")
    assert everything.ids == [2, 3, 0]  # b, which is not in it, is not among them


def test_of_a_long_text_parts_are_counted(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frequent_tokens, "MAX_BYTES", 1 << 17)
    text = "ab " * (1 << 17) + "cd " * (1 << 17)
    found = frequent_tokens.count(storage, ByteTokenizer(), a_text(storage, text), 5, "dataset")
    assert found.sampled
    assert found.tokens == pytest.approx(1 << 17, abs=10)
    assert {chr(token_id) for token_id in found.ids} == set(" abcd")  # of its end, too


def test_of_rows_the_first_are_counted(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f'["{word}"]\n' for word in ("aa", "b", "aa", "c")]
    storage.dataset("ds_2").write_text("".join(rows))
    row = DatasetRow(id="ds_2", name="t.csv", rows=4, characters=6, columns=[{"name": "text", "type": "text"}])
    source = Source(row, "text")
    found = frequent_tokens.count(storage, ByteTokenizer(), source, 5, "dataset")
    assert dict(zip(map(chr, found.ids), found.counts, strict=True)) == Counter("aabaac")
    assert not found.sampled
    monkeypatch.setattr(frequent_tokens, "MAX_BYTES", 3)
    found = frequent_tokens.count(storage, ByteTokenizer(), source, 5, "dataset")
    assert (found.tokens, found.sampled) == (3, True)


def test_what_cannot_be_counted_is_told(storage: Storage) -> None:
    tokenizer = WordTokenizer(["a"], 1)
    with pytest.raises(UnknownWord) as refused:
        frequent_tokens.count(storage, tokenizer, a_text(storage, "a b"), 3, "frequent.dataset")
    assert refused.value.param == "frequent.dataset"
    source = a_text(storage, "a")
    storage.dataset("ds_1").unlink()
    with pytest.raises(DataMissing):
        frequent_tokens.count(storage, tokenizer, source, 3, "dataset")
