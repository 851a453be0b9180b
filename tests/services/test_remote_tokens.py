"""Records of tokens out of chunks of other servers."""

from __future__ import annotations

import pytest

from app.schemas.remote import RemoteChoice
from app.services.remote_tokens import tokens_of


def chunk(**fields: object) -> RemoteChoice:
    return RemoteChoice.model_validate(fields)


def of_text(names: list[str], text: str, top: list[dict[str, float] | None] | None = None) -> RemoteChoice:
    logprobs = {"tokens": names, "token_logprobs": [-0.5] * len(names), "top_logprobs": top, "text_offset": []}
    return chunk(text=text, logprobs=logprobs)


@pytest.mark.parametrize(
    ("names", "text", "pieces", "contents"),
    [
        (["a", "b"], "ab", ["a", "b"], [[97], [98]]),
        (["a", "bytes:\\xc3", "bytes:\\xa9"], "aé", ["a", "", "é"], [[97], [195], [169]]),
        (["bytes:\\xf0\\x9f"], "", [""], [[240, 159]]),
        (["👍", "<|im_end|>"], "👍", ["", "👍"], [list("👍".encode()), list(b"<|im_end|>")]),
        (["\ufffd", "\ufffd"], "é", ["", "é"], [None, None]),
        (["token_id:5"], "x", ["x"], [list(b"token_id:5")]),
    ],
)
def test_a_chunks_text_is_shared_out(names, text, pieces, contents):
    """By its tokens' bytes; where these do not spell it, all of it stands at the last."""
    found = tokens_of(of_text(names, text), 0)
    assert [each.text for each in found] == pieces
    assert [each.bytes for each in found] == contents
    assert {(each.id, each.logprob, each.sampled_logprob) for each in found} == {(None, -0.5, None)}


def test_alternatives_are_the_likeliest_and_as_many_as_asked_for():
    [token] = tokens_of(of_text(["a"], "a", [{"c": -3.0, "a": -0.5, "b": -1.0}]), 2)
    assert [(each.text, each.bytes, each.logprob) for each in token.top] == [("a", [97], -0.5), ("b", [98], -1.0)]
    [token] = tokens_of(of_text(["a"], "a", [None]), 2)
    assert token.top == []


def test_a_conversation_tells_bytes_by_itself():
    top = [{"token": "\ufffd", "logprob": -1.0, "bytes": [159]}, {"token": "\ufffd", "logprob": -2.0, "bytes": None}]
    content = [{"token": "\ufffd", "logprob": -0.25, "bytes": [240], "top_logprobs": top}]
    [token] = tokens_of(chunk(delta={"content": ""}, logprobs={"content": content}), 5)
    assert (token.text, token.bytes, token.logprob) == ("", [240], -0.25)
    assert [each.bytes for each in token.top] == [[159], None]


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({"text": "né"}, ["né"]),
        ({"delta": {"content": "né", "role": "assistant"}}, ["né"]),
        ({"delta": {"role": "assistant", "content": ""}}, []),
        ({"delta": {}}, []),
        ({"text": "x", "logprobs": {}}, ["x"]),
        ({"text": "x", "logprobs": {"content": []}}, ["x"]),
        ({"text": "x", "logprobs": {"tokens": ["x"], "token_logprobs": []}}, ["x"]),
    ],
)
def test_a_server_that_tells_of_no_tokens(fields, texts):
    found = tokens_of(chunk(**fields), 3)
    assert [each.text for each in found] == texts
    assert all((each.bytes, each.logprob, each.top) == (None, None, []) for each in found)
