"""POST /v1/completions as the public client and lm-eval ask for it."""

import openai
import pytest
import torch

from app.api.openai.words import token_name
from tests.api.openai.conftest import MODEL, small_network
from tests.fakes import IM_END, ScriptedModel


def test_a_text_continued(client):
    answer = client().completions.create(model=MODEL, prompt="Once", temperature=0, seed=1)
    assert (answer.object, answer.model, answer.id[:4]) == ("text_completion", MODEL, "cmpl")
    [choice] = answer.choices
    assert (choice.text, choice.finish_reason, choice.logprobs) == ("né 👍!", "stop", None)
    count = len("né 👍!".encode()) + 1
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, count)


def test_a_stream_tells_the_same(client):
    one = client()
    chunks = list(
        one.completions.create(
            model=MODEL, prompt="Once", temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == "né 👍!"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens == 4
    assert all(chunk.usage is None for chunk in chunks[:-1])
    plain = list(one.completions.create(model=MODEL, prompt="Once", temperature=0, stream=True))
    assert all("usage" not in chunk.model_fields_set and chunk.choices for chunk in plain)


@pytest.mark.parametrize("prompt", [["One", "Two!"], [[79, 110, 101], [84, 119, 111, 33]], ["One", [84, 119, 111, 33]]])
def test_prompts_of_every_kind(client, prompt):
    answer = client().completions.create(model=MODEL, prompt=prompt, n=2, temperature=0, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in answer.choices] == ["Onené 👍!"] * 2 + ["Two!né 👍!"] * 2
    assert answer.usage.prompt_tokens == 7


def test_ids_as_one_prompt(client):
    assert (
        client().completions.create(model=MODEL, prompt=[79, 110], echo=True, temperature=0).choices[0].text[:2] == "On"
    )


def test_logprobs_of_what_was_written(client):
    answer = client().completions.create(model=MODEL, prompt="Once", temperature=0, logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs.tokens[:3] == ["n", "bytes:\\xc3", "bytes:\\xa9"]
    assert logprobs.text_offset == [0, 1, 1, 2, 3, 3, 3, 3, 4, 5]
    assert logprobs.tokens[-1] == "<|im_end|>"
    for own, top in zip(logprobs.token_logprobs, logprobs.top_logprobs, strict=True):
        assert len(top) in (2, 3)
        assert own == max(top.values())


def test_a_text_scored_equals_the_network(client):
    """`echo` with `max_tokens` 0: each token's log-probability is the network's own."""
    network = small_network()
    ids = [79, 110, 99, 101, 32, 195, 169]
    answer = client(network).completions.create(model=MODEL, prompt=[ids], echo=True, max_tokens=0, logprobs=5)
    [choice] = answer.choices
    with torch.no_grad():
        own = network(torch.tensor([ids])).log_softmax(-1)[0]  # (T, V)
    assert (choice.text, choice.finish_reason) == ("Once é", "length")
    assert choice.logprobs.token_logprobs[0] is None
    assert choice.logprobs.top_logprobs[0] is None
    wanted = [own[place, token_id].item() for place, token_id in enumerate(ids[1:])]
    assert choice.logprobs.token_logprobs[1:] == pytest.approx(wanted, abs=1e-4)
    for place, top in enumerate(choice.logprobs.top_logprobs[1:]):
        best = own[place].topk(5)
        assert max(top.values()) == pytest.approx(best.values[0].item(), abs=1e-4)
    assert choice.logprobs.text_offset == [0, 1, 2, 3, 4, 5, 5]
    assert answer.usage.completion_tokens == 0


def test_lm_evals_question(client):
    """Its prompt's scores, then exactly one token more, even where that ends the text."""
    answer = client(ScriptedModel([IM_END])).completions.create(
        model=MODEL, prompt=[[79, 110], [79, 110, 99]], echo=True, logprobs=1, max_tokens=1, temperature=0, seed=1234
    )
    assert [len(choice.logprobs.tokens) for choice in answer.choices] == [3, 4]
    assert [len(choice.logprobs.token_logprobs) for choice in answer.choices] == [3, 4]


def test_a_stream_with_echo_and_logprobs(client):
    one = client(small_network())
    fields = {"model": MODEL, "prompt": "Hi é", "echo": True, "logprobs": 1, "max_tokens": 6, "temperature": 0}
    whole = one.completions.create(**fields).choices[0]
    chunks = [chunk.choices[0] for chunk in one.completions.create(**fields, stream=True)]
    assert "".join(chunk.text for chunk in chunks) == whole.text
    for name in ("tokens", "token_logprobs", "text_offset"):
        joined = [value for chunk in chunks for value in getattr(chunk.logprobs, name)]
        assert joined == getattr(whole.logprobs, name)


def test_the_best_of_several(client):
    one = client(small_network())
    fields = {"model": MODEL, "prompt": "Hi", "seed": 3, "max_tokens": 5, "logprobs": 0}
    several = one.completions.create(**fields, n=6).choices
    mean = [sum(choice.logprobs.token_logprobs) / len(choice.logprobs.tokens) for choice in several]
    best = one.completions.create(**fields, n=2, best_of=6)
    ranked = sorted(range(6), key=mean.__getitem__, reverse=True)[:2]
    assert [choice.text for choice in best.choices] == [several[place].text for place in ranked]
    assert [choice.index for choice in best.choices] == [0, 1]
    assert best.usage.completion_tokens == sum(len(choice.logprobs.tokens) for choice in several)


def test_bias_and_penalties_reach_the_draw(client):
    one = client(small_network())
    fields = {"model": MODEL, "prompt": "Hi", "temperature": 0, "max_tokens": 4}
    assert one.completions.create(**fields, logit_bias={"65": 100}).choices[0].text == "AAAA"
    turned = one.completions.create(
        **fields, logit_bias={"65": 100, "66": 99.9}, frequency_penalty=2, extra_body={"top_k": 1}
    )
    assert sorted(turned.choices[0].text) != list("AAAA")


def test_stop_strings_and_seeds(client):
    one = client()
    assert one.completions.create(model=MODEL, prompt="x", temperature=0, stop=["👍"]).choices[0].text == "né "
    assert (
        one.completions.create(model=MODEL, prompt="x", temperature=0, max_tokens=1).choices[0].finish_reason
        == "length"
    )
    free = client(small_network())
    texts = [free.completions.create(model=MODEL, prompt="x", seed=5, max_tokens=8).choices[0].text for _ in range(2)]
    assert texts[0] == texts[1]


def test_sixty_four_stop_strings_over_the_borders_of_tokens_and_chunks(client):
    """A token here is a byte: every stop string lies across several, the one that ends the text across a character."""
    one = client(ScriptedModel("abcdefgh né 👍!", margin=20.0))
    stops = [f"never {number}" for number in range(63)] + ["né 👍"]
    asked = {"model": MODEL, "prompt": "x", "temperature": 0, "max_tokens": 60, "stop": stops}
    answer = one.completions.create(**asked)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("abcdefgh ", "stop")
    chunks = list(one.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "abcdefgh "
    with pytest.raises(openai.BadRequestError, match="stop"):
        one.completions.create(**asked | {"stop": [*stops, "one more"]})
    with pytest.raises(openai.BadRequestError, match="stop"):
        one.completions.create(**asked | {"stop": ["x" * 257]})


def test_a_hundred_and_twenty_eight_choices(client):
    one = client(small_network())
    answer = one.completions.create(model=MODEL, prompt="x", n=128, max_tokens=2, seed=3)
    assert [choice.index for choice in answer.choices] == list(range(128))
    assert len({choice.text for choice in answer.choices}) > 20
    with pytest.raises(openai.BadRequestError, match="n"):
        one.completions.create(model=MODEL, prompt="x", n=129, max_tokens=2)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x", "logit_bias": {"259": 1}}, "logit_bias.259"),
        ({"prompt": "x", "logit_bias": {"x": 1}}, "logit_bias"),
        ({"prompt": [[1, 999]]}, "prompt.1"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "max_tokens": 600}, "max_tokens"),
        ({"prompt": "x" * 600}, "prompt"),
        ({"prompt": "x", "suffix": "y"}, "suffix"),
        ({"prompt": "x", "logprobs": 6}, "logprobs"),
        ({"prompt": "x", "best_of": 3, "stream": True}, "best_of"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "x", "n": 129}, "n"),
        ({"prompt": ["x"] * 3, "n": 128}, "prompt"),
        ({"prompt": "x", "stream_options": {"include_usage": True}}, "stream_options"),
        ({"prompt": "x", "stop": ["a"] * 65}, "stop"),
    ],
)
def test_what_is_refused_is_named(client, fields, param):
    one = client()
    with pytest.raises(openai.BadRequestError) as refusal:
        one.completions.create(model=MODEL, **fields)
    assert refusal.value.param == param
    assert set(refusal.value.body) == {"message", "type", "param", "code"}
    assert one.completions.create(model=MODEL, prompt="x", temperature=0).choices[0].text == "né 👍!"


def test_fields_of_openais_own_service_change_nothing(client):
    answer = client().completions.create(model=MODEL, prompt="x", temperature=0, user="me", extra_body={"suffix": None})
    assert answer.choices[0].text == "né 👍!"


def test_a_model_that_is_not_there(client):
    with pytest.raises(openai.NotFoundError) as refusal:
        client().completions.create(model="gpt-9", prompt="x")
    assert refusal.value.code == "model_not_found"


def test_a_prompt_of_exactly_the_context_can_be_scored(client):
    answer = client(small_network()).completions.create(
        model=MODEL, prompt="x" * 64, max_tokens=0, echo=True, logprobs=0
    )
    assert len(answer.choices[0].logprobs.tokens) == 64


def test_no_numbers_end_in_an_error_and_the_next_is_served(client):
    network = small_network()
    one = client(network, dtype="float32")
    with torch.no_grad():
        network.final_norm.scale[0] = float("nan")
    with pytest.raises(openai.InternalServerError) as refusal:
        one.completions.create(model=MODEL, prompt="x")
    assert refusal.value.code == "generation_failed"
    assert refusal.value.response.headers["x-should-retry"] == "false"


def test_names_of_tokens():
    assert token_name("é".encode()) == "é"
    assert token_name(b"\xf0\x9f") == "bytes:\\xf0\\x9f"
