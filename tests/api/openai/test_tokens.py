"""vLLM's tokenizer routes, as lm-eval calls them."""

import httpx
import pytest

from tests.api.openai.conftest import MODEL
from tests.fakes import IM_END


@pytest.fixture
def root(client):
    one = client()
    with httpx.Client(base_url=str(one.base_url).removesuffix("/v1/"), timeout=30) as plain:
        yield plain


def test_there_and_back(root):
    body = {"model": MODEL, "prompt": "né", "add_special_tokens": False, "return_token_strs": True}
    told = root.post("/tokenize", json=body).json()
    assert told == {
        "count": 3,
        "max_model_len": 512,
        "tokens": [110, 195, 169],
        "token_strs": ["n", "bytes:\\xc3", "bytes:\\xa9"],
    }
    assert root.post("/detokenize", json={"tokens": [110, 195, 169]}).json() == {"prompt": "né"}


def test_a_conversation(root):
    told = root.post("/tokenize", json={"messages": [{"role": "user", "content": "x"}]}).json()
    assert told["tokens"].count(IM_END) == 1
    assert "token_strs" not in told


def test_what_lm_eval_asks_first(root):
    info = root.get("/tokenizer_info").json()
    assert info["eos_token"] == "<|im_end|>"
    assert "im_start" in info["chat_template"]


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, 422, None),
        ("/tokenize", {"prompt": 3}, 422, "prompt"),
        ("/tokenize", {"prompt": "x", "tokenizer": "gpt2"}, 422, "tokenizer"),
        ("/tokenize", {"prompt": "x", "model": "none"}, 404, None),
        ("/detokenize", {"tokens": [999]}, 422, "tokens.0"),
        ("/detokenize", {"tokens": "x"}, 422, "tokens"),
    ],
)
def test_what_is_refused_is_named(root, path, body, status, param):
    answer = root.post(path, json=body)
    assert answer.status_code == status
    assert param in (None, answer.json()["error"]["param"])
