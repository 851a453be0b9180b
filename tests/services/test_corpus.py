"""Token files of datasets: made once for a text and a tokenizer, and split where the book splits."""

from __future__ import annotations

import pytest

from app.config import Settings
from app.db.session import Database
from app.db.tables.dataset import DatasetRow
from app.llm.tokenizer.word import WordTokenizer
from app.services.corpus import Encoder, ids_of, kept_back_from, split_point
from app.services.dataset_texts import Source
from app.services.storage import Storage
from tests.fakes import ByteTokenizer

TEXT = "one two three two one"


@pytest.fixture
def storage(settings: Settings) -> Storage:
    made = Storage(settings.data_dir, settings.assets_dir)
    made.prepare()
    return made


def dataset_of(storage: Storage, text: str, sha256: str = "0" * 64) -> DatasetRow:
    storage.dataset("ds_1").write_text(text)
    return DatasetRow(id="ds_1", characters=len(text), sha256=sha256)


def encoder_of(text: str, fingerprint: str = "words") -> Encoder:
    return Encoder(WordTokenizer.build(text, version=2), fingerprint)


def files(storage: Storage) -> int:
    return len(list(storage.tokens("ds_1").iterdir()))


def test_a_text_is_encoded_once(storage: Storage):
    dataset, encoder = dataset_of(storage, TEXT), encoder_of(TEXT)
    assert ids_of(storage, encoder, dataset).tolist() == encoder.tokenizer.encode(TEXT)
    storage.dataset("ds_1").unlink()  # the second call cannot read it again
    assert ids_of(storage, encoder, dataset).tolist() == encoder.tokenizer.encode(TEXT)
    assert files(storage) == 1


def test_another_text_tokenizer_or_range_is_another_file(storage: Storage):
    dataset, encoder = dataset_of(storage, TEXT), encoder_of(TEXT)
    ids_of(storage, encoder, dataset)
    assert ids_of(storage, encoder, dataset, 0, 7).tolist() == encoder.tokenizer.encode("one two")
    assert ids_of(storage, encoder_of("one", "other"), dataset).tolist() != encoder.tokenizer.encode(TEXT)
    changed = dataset_of(storage, "three three", sha256="1" * 64)
    assert ids_of(storage, encoder, changed).tolist() == encoder.tokenizer.encode("three three")
    assert files(storage) == 4


def test_the_book_splits_the_verdict_at_character_18431(golden):
    assert split_point(20_479, 0.1) == golden("ch05.split")["expected"]["split_index"]


@pytest.mark.parametrize(
    ("text", "fraction", "begins"),
    [
        ("one two three", 0.5, 7),
        ("one two three", 0.55, 7),
        ("one twothree", 0.5, 6),
        ("one two three", 0.0, None),
    ],
)
def test_no_word_of_a_word_tokenizer_is_cut_in_two(storage: Storage, text: str, fraction: float, begins: int | None):
    """Half of one may be none that it knows; where no white space follows, the last word is cut."""
    source = Source(dataset_of(storage, text))
    assert kept_back_from(storage, source, fraction, encoder_of(text).tokenizer) == begins
    assert kept_back_from(storage, source, 0.5, ByteTokenizer()) == split_point(len(text), 0.5)


def test_a_name_without_a_row_is_its_own_fingerprint(database: Database):
    with database.read() as session:
        assert Encoder.of(session, "gpt2", encoder_of("a").tokenizer).fingerprint == "gpt2"
