import pytest
from pydantic import TypeAdapter, ValidationError

from app.schemas.tokenizer import DecodeIn, EncodeIn, TokenizeIn, TokenizerCreate

WORD = {"name": "tides", "kind": "word", "version": 1, "dataset": "ds_1"}


def test_one_or_many():
    assert EncodeIn(text=["a", ""]).text == ["a", ""]
    assert (DecodeIn(ids=[1]).lists, DecodeIn(ids=[1]).is_batch) == ([[1]], False)
    assert (DecodeIn(ids=[[1], []]).lists, DecodeIn(ids=[[1], []]).is_batch) == ([[1], []], True)
    assert (DecodeIn(ids=[]).lists, DecodeIn(ids=[]).is_batch) == ([[]], False)
    assert TokenizeIn(text="", tokenizer=["gpt2"]).tokenizer == ["gpt2"]


@pytest.mark.parametrize(
    ("schema", "body", "field"),
    [
        (EncodeIn, {"text": 1}, "text"),
        (EncodeIn, {"text": ["a", None]}, "text"),
        (EncodeIn, {"text": ["a", "\ud800"]}, "text"),
        (EncodeIn, {"text": ["a"] * 4097}, "text"),
        (DecodeIn, {"ids": "1"}, "ids"),
        (DecodeIn, {"ids": [True]}, "ids"),
        (DecodeIn, {"ids": [1.0]}, "ids"),
        (DecodeIn, {"ids": ["1"] * 100_000}, "ids"),
        (DecodeIn, {"ids": [[1], 2]}, "ids"),
        (DecodeIn, {"ids": [1, [2]]}, "ids"),
        (TokenizeIn, {"text": "\udfff"}, "text"),
        (TokenizeIn, {"text": ["a"]}, "text"),
        (TokenizeIn, {"text": "a", "tokenizer": []}, "tokenizer"),
        (TokenizeIn, {"text": "a", "tokenizer": ["gpt2"] * 9}, "tokenizer"),
        (TokenizeIn, {"text": "a", "tokenizer": ["gpt2", 1]}, "tokenizer"),
        (TokenizeIn, {"text": "a", "specials": "all"}, "specials"),
        (TokenizeIn, {"text": "a", "special": "text"}, "special"),
        (TokenizerCreate, WORD | {"version": 3}, "version"),
        (TokenizerCreate, WORD | {"version": True}, "version"),
        (TokenizerCreate, WORD | {"version": 1.0}, "version"),
        (TokenizerCreate, WORD | {"version": "1"}, "version"),
        (TokenizerCreate, WORD | {"kind": "unigram"}, "kind"),
        (TokenizerCreate, WORD | {"name": "a\0"}, "name"),
    ],
)
def test_a_refusal_is_one_and_names_the_field_alone(schema, body, field):
    with pytest.raises(ValidationError) as caught:
        schema.model_validate(body)
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_the_description_of_the_api_knows_one_and_many():
    described = TypeAdapter(EncodeIn).json_schema()["properties"]["text"]
    assert [kind["type"] for kind in described["anyOf"]] == ["string", "array"]
