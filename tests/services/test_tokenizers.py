import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.db.session import Database
from app.db.tables.dataset import DatasetRow
from app.errors import (
    DataMissing,
    DatasetNotFound,
    InvalidRequest,
    NameTaken,
    TokenizerNotFound,
    TokenOutOfRange,
    TooLarge,
)
from app.llm.tokenizer import tiktoken_data
from app.services.storage import Storage
from app.services.tokenizer_making import check_new, make_word, register
from app.services.tokenizers import Tokenizers
from tests.jobs_made import a_dataset

TEXT = "The tide, the clock --\nand the sea."


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Nothing installed, nothing written."""
    made = Storage(tmp_path / "data", tmp_path / "assets")
    made.prepare()
    return made


@pytest.fixture
def tokenizers(storage: Storage) -> Tokenizers:
    return Tokenizers(storage)


@pytest.fixture
def dataset(any_database: Database, storage: Storage) -> Iterator[DatasetRow]:
    storage.dataset("ds_1").write_text(TEXT, encoding="utf-8")
    with any_database.write() as session:
        return a_dataset(session, "ds_1", size_bytes=len(TEXT))


def create(database: Database, storage: Storage, name: str, dataset: DatasetRow, version: int = 1) -> None:
    with database.write() as session:
        register(session, storage, name, make_word(storage, dataset, 1 if version == 1 else 2), dataset.id)


def test_a_word_tokenizer_is_built_kept_and_found_again(any_database, storage, tokenizers, dataset):
    create(any_database, storage, "tides", dataset, version=2)
    with any_database.read() as session:
        again = Tokenizers(storage).get(session, "tides")
        listed = tokenizers.list(session)[-1]
    words = [",", "--", ".", "The", "and", "clock", "sea", "the", "tide", "<|endoftext|>", "<|unk|>"]
    assert again.vocabulary == words
    assert (listed.name, listed.kind, listed.version, listed.vocab_size) == ("tides", "word", 2, len(words))
    assert (listed.source, listed.dataset, listed.available, listed.hint) == ("dataset", "ds_1", True, None)
    assert list(storage.scratch.iterdir()) == []


def test_the_verdict_gives_the_books_vocabulary(any_database, storage, tokenizers, dataset, verdict):
    storage.dataset("ds_1").write_text(verdict)
    assert [make_word(storage, dataset, version).vocab_size for version in (1, 2)] == [1130, 1132]


@pytest.mark.parametrize("name", ["gpt2", "o200k_base", "smollm2", "tides"])
def test_a_name_is_given_once(any_database, storage, tokenizers, dataset, name):
    create(any_database, storage, "tides", dataset)
    with any_database.read() as session, pytest.raises(NameTaken):
        check_new(session, name, "ds_1")


def test_of_two_at_once_one_gets_the_name(any_database, storage, tokenizers, dataset):
    """Each has seen the name free before the other's row is there; the file must be that of the row."""
    start = threading.Barrier(2)

    def race(version: int) -> str:
        tokenizer = make_word(storage, dataset, 1 if version == 1 else 2)
        start.wait()
        try:
            with any_database.write() as session:
                register(session, storage, "tides", tokenizer, "ds_1")
        except NameTaken:
            return "taken"
        return "made"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(race, (1, 2))) == ["made", "taken"]
    with any_database.read() as session:
        Tokenizers(storage).get(session, "tides")  # its file is the one that its row knows


@pytest.mark.parametrize("name", ["", "../up", "a b", "x" * 97, "naïve", "nul\0"])
def test_what_is_no_name_is_refused(any_database, tokenizers, dataset, name):
    with any_database.read() as session, pytest.raises(InvalidRequest):
        check_new(session, name, "ds_1")


@pytest.mark.parametrize("dataset_id", ["ds_2", "", "../ds_1", "nul\0", "\ud800"])
def test_a_dataset_that_is_not_there(any_database, tokenizers, dataset, dataset_id):
    with any_database.read() as session, pytest.raises(DatasetNotFound):
        check_new(session, "tides", dataset_id)


def test_a_dataset_without_words_makes_no_tokenizer(any_database, storage, tokenizers, dataset):
    storage.dataset("ds_1").write_text(" \n\n ")
    with pytest.raises(InvalidRequest, match="no word"):
        make_word(storage, dataset, 1)


def test_a_dataset_whose_file_is_gone(any_database, storage, tokenizers, dataset):
    storage.dataset("ds_1").unlink()
    with pytest.raises(DataMissing):
        make_word(storage, dataset, 1)


def test_a_dataset_that_takes_too_long_to_read(any_database, storage, tokenizers, dataset):
    dataset.size_bytes = 64 * 1024 * 1024 + 1
    with pytest.raises(TooLarge):
        make_word(storage, dataset, 1)


@pytest.mark.parametrize("name", ["nowhere", "", "../x", "a\0", "\ud800", "x" * 10_000])
def test_an_unknown_tokenizer(any_database, tokenizers, name):
    with any_database.read() as session, pytest.raises(TokenizerNotFound) as caught:
        tokenizers.get(session, name, "model.tokenizer")
    assert caught.value.param == "model.tokenizer"
    assert len(caught.value.message.encode()) < 1000


def test_a_vocabulary_file_that_was_changed_is_not_believed(any_database, storage, tokenizers, dataset):
    create(any_database, storage, "tides", dataset)
    storage.tokenizer("tides").write_text('{"kind": "word", "version": 1, "vocabulary": ["a"]}')
    with any_database.read() as session, pytest.raises(DataMissing):
        tokenizers.get(session, "tides")


def test_a_vocabulary_file_that_is_gone_is_said_to_be(any_database, storage, tokenizers, dataset):
    create(any_database, storage, "tides", dataset)
    storage.tokenizer("tides").unlink()
    with any_database.read() as session:
        assert not tokenizers.list(session)[-1].available
        with pytest.raises(DataMissing):
            tokenizers.get(session, "tides")


def test_without_their_data_the_built_in_ones_are_listed_with_a_hint(database, tokenizers):
    with database.read() as session:
        infos = tokenizers.list(session)
        assert [info.name for info in infos] == [
            "gpt2",
            "r50k_base",
            "p50k_base",
            "cl100k_base",
            "o200k_base",
            "smollm2",
        ]
        for info in infos:
            assert not info.available
            with pytest.raises(DataMissing) as caught:
                tokenizers.get(session, info.name)
            assert info.hint in caught.value.message


def test_hints_say_where_the_file_goes(database, tokenizers):
    with database.read() as session:
        hints = {info.name: info.hint for info in tokenizers.list(session)}
    assert "make assets" in hints["smollm2"]
    published = tiktoken_data.PUBLISHED["cl100k_base"]
    assert f"tiktoken/{published.file_name}" in hints["cl100k_base"]
    assert published.url in hints["cl100k_base"]


def test_what_the_install_brings_is_there_once_and_as_large_as_listed(database, assets, tmp_path):
    tokenizers = Tokenizers(Storage(tmp_path, assets))
    with database.read() as session:
        for info in tokenizers.list(session):
            if not info.available:
                assert info.name in ("cl100k_base", "o200k_base")
                continue
            found = tokenizers.get(session, info.name)
            assert (found.vocab_size, found.kind) == (info.vocab_size, info.kind)
            assert tokenizers.get(session, info.name) is found
        assert all(info.available for info in tokenizers.list(session) if info.name in ("gpt2", "smollm2"))


def test_a_weight_file_that_is_broken_is_missing_data(database, storage, tokenizers):
    storage.assets_dir.mkdir()
    storage.asset("SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF and nothing else")
    with database.read() as session, pytest.raises(DataMissing, match="make assets"):
        tokenizers.get(session, "smollm2")


def test_many_threads_load_a_tokenizer_once(database, assets, tmp_path):
    tokenizers = Tokenizers(Storage(tmp_path, assets))

    def get(_: int) -> int:
        with database.read() as session:
            return id(tokenizers.get(session, "gpt2"))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(get, range(16)))) == 1


def test_only_so_many_vocabularies_are_held(any_database, storage, tokenizers, dataset):
    names = [f"tides-{n}" for n in range(18)]
    for name in names:
        create(any_database, storage, name, dataset)
    with any_database.read() as session:
        first = tokenizers.get(session, names[0])
        assert tokenizers.get(session, names[0]) is first
        for name in names[1:]:
            tokenizers.get(session, name)
        assert tokenizers.get(session, names[0]) is not first


def test_pages_of_a_vocabulary(any_database, storage, tokenizers, dataset):
    create(any_database, storage, "tides", dataset, version=2)
    with any_database.read() as session:
        entries, more = tokenizers.vocab(session, "tides", None, 9)
        assert ([entry.text for entry in entries[:3]], more) == ([",", "--", "."], True)
        entries, more = tokenizers.vocab(session, "tides", entries[-1].id, 9)
        assert [(entry.id, entry.text, entry.special) for entry in entries] == [
            (9, "<|endoftext|>", True),
            (10, "<|unk|>", True),
        ]
        assert not more
        assert tokenizers.vocab(session, "tides", 10, 9) == ([], False)
        with pytest.raises(TokenOutOfRange):
            tokenizers.vocab(session, "tides", 11, 9)


def test_pages_of_the_list(any_database, storage, tokenizers, dataset):
    create(any_database, storage, "tides", dataset)
    with any_database.read() as session:
        names, after, more = [], None, True
        while more:
            infos, more = tokenizers.page(session, after, 3)
            names += [info.name for info in infos]
            after = infos[-1].name
        assert names == [info.name for info in tokenizers.list(session)]
        assert tokenizers.page(session, after, 3) == ([], False)
        with pytest.raises(TokenizerNotFound):
            tokenizers.page(session, "nowhere", 3)
