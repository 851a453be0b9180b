import json

from hypothesis import given
from hypothesis import strategies as st

from app.llm.tokenizer.base import Token
from app.schemas import token_json
from app.schemas.tokenizer import EncodeOut, TokenizeOut

TOKENS = st.builds(
    Token,
    id=st.integers(0, 10**6),
    bytes=st.binary(max_size=8),
    start=st.integers(0),
    end=st.integers(0),
    special=st.booleans(),
)


@given(st.lists(TOKENS, max_size=20))
def test_what_is_written_is_what_the_schema_says(tokens):
    written = b"".join(token_json.tokenized("gpt2", len(tokens), iter(tokens)))
    meant = TokenizeOut.model_validate(
        {
            "tokenizer": "gpt2",
            "count": len(tokens),
            "tokens": [
                {
                    "id": t.id,
                    "text": t.text,
                    "bytes": list(t.bytes),
                    "start": t.start,
                    "end": t.end,
                    "special": t.special,
                }
                for t in tokens
            ],
        }
    )
    assert TokenizeOut.model_validate_json(written) == meant


@given(st.lists(st.lists(st.integers(0, 10**6), max_size=5), max_size=5))
def test_ids_of_one_text_and_of_many(lists):
    one = b"".join(token_json.encoded("a", 3, token_json.id_list([1, 2, 3])))
    assert json.loads(one) == {"tokenizer": "a", "count": 3, "ids": [1, 2, 3]}
    many = b"".join(token_json.encoded("a", 9, token_json.listed(map(token_json.id_list, lists))))
    assert EncodeOut.model_validate_json(many) == EncodeOut(tokenizer="a", count=9, ids=lists)


def test_a_long_list_comes_in_pieces_of_bounded_size():
    pieces = list(token_json.tokenized("gpt2", 50_000, (Token(1, b" a", 0, 2, False) for _ in range(50_000))))
    assert len(json.loads(b"".join(pieces))["tokens"]) == 50_000
    assert max(map(len, pieces)) < 100_000
    ids = list(token_json.id_list(range(100_000)))
    assert json.loads(b"".join(ids)) == list(range(100_000))
    assert max(map(len, ids)) < 100_000
