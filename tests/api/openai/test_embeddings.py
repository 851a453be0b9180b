"""POST /v1/embeddings as the public client asks for it."""

import openai
import pytest
import torch
from torch.nn import functional as F

from tests.api.openai.conftest import MODEL, small_network


def test_the_mean_of_the_final_states(client):
    network = small_network()
    one = client(network)
    with torch.no_grad():
        wanted = F.normalize(network.hidden(torch.tensor([[72, 105]]))[0].mean(0), dim=0)
    for encoding in ("float", "base64", None):
        extra = {"encoding_format": encoding} if encoding else {}
        answer = one.embeddings.create(model=MODEL, input=["Hi", "you"], **extra)
        assert [each.index for each in answer.data] == [0, 1]
        values = answer.data[0].embedding
        if isinstance(values, str):  # asked for base64 in so many words, the client hands it on
            continue
        assert torch.allclose(torch.tensor(values), wanted, atol=1e-6)
        assert answer.usage.prompt_tokens == answer.usage.total_tokens == 5


def test_ids_are_read_like_their_text(client):
    one = client(small_network())
    text = one.embeddings.create(model=MODEL, input="Hi", dimensions=32).data[0].embedding
    assert one.embeddings.create(model=MODEL, input=[72, 105]).data[0].embedding == text
    assert one.embeddings.create(model=MODEL, input=[[72, 105]]).data[0].embedding == text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["x", ""]}, "input.1"),
        ({"input": [[1, 999]]}, "input.1"),
        ({"input": "x" * 65}, "input"),
        ({"input": "x", "dimensions": 8}, "dimensions"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format"),
    ],
)
def test_what_is_refused_is_named(client, fields, param):
    one = client(small_network())
    with pytest.raises(openai.BadRequestError) as refusal:
        one.embeddings.create(model=MODEL, **fields)
    assert refusal.value.param == param
    assert one.embeddings.create(model=MODEL, input="x").data[0].index == 0
