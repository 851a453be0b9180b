"""From a body to text: what is refused and why, what is counted, what is held back, what is given back."""

import asyncio

import pytest
import torch

from app.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    ModelNotFound,
    NoChatTemplate,
    QueueFull,
    TokenOutOfRange,
    TooLarge,
    UnknownWord,
)
from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.word import WordTokenizer
from app.schemas.generate import GenerateIn
from app.services.generation import Choice, Progress, Usage, prepare
from app.services.runtime import Runtime
from tests.fakes import IM_END, IM_START, ByteTokenizer, ScriptedModel, eventually, scripted_runtime


@pytest.fixture
def make(settings, database):
    """A runtime around a network; its engines are stopped, and found empty, at the end."""
    made: list[Runtime] = []

    def make(network: ScriptedModel | None = None, tokenizer: object = None, **fields: object) -> Runtime:
        template = {"chat_template": fields.pop("chat_template")} if "chat_template" in fields else {}
        runtime = scripted_runtime(
            settings.model_copy(update=fields),
            database,
            network or ScriptedModel("hello world"),
            tokenizer=tokenizer,
            **template,
        )
        made.append(runtime)
        return runtime

    yield make
    for runtime in made:
        loop = runtime.models.get().loop
        eventually(lambda loop=loop: (loop.running, loop.waiting) == (0, 0))
        if loop._engine is not None:
            loop._engine.check_integrity()
        runtime.models.close()


def body(**fields: object) -> GenerateIn:
    return GenerateIn(**({"temperature": 0.0} | ({} if "messages" in fields else {"prompt": "Once"}) | fields))


async def collected(runtime: Runtime, spec: GenerateIn) -> tuple[list[Choice], Usage, int]:
    generation = await prepare(runtime, spec)
    generation.start()
    try:
        return await generation.collect(), generation.usage, generation.seed
    finally:
        generation.close()


async def streamed(runtime: Runtime, spec: GenerateIn) -> list[Progress]:
    generation = await prepare(runtime, spec)
    generation.start()
    return [step async for step in generation.progress()]


def collect(runtime: Runtime, **fields: object) -> tuple[list[Choice], Usage, int]:
    return asyncio.run(collected(runtime, body(**fields)))


def test_a_prompt_is_continued_until_the_model_ends_it(make):
    runtime = make()
    [choice], usage, _ = collect(runtime)
    assert (choice.text, choice.finish_reason) == ("hello world", "stop")
    assert [token.id for token in choice.tokens] == [*b"hello world", IM_END]
    assert usage == Usage(prompt_tokens=4, completion_tokens=12)
    assert usage.total_tokens == 16


def test_a_length_ends_it(make):
    [choice], usage, _ = collect(make(), max_new_tokens=5)
    assert (choice.text, choice.finish_reason, usage.completion_tokens) == ("hello", "length", 5)


def test_a_stop_string_ends_it_and_the_work(make):
    network = ScriptedModel("hello world" * 20, pass_s=0.001)
    [choice], usage, _ = collect(make(network), stop=["wor", "zzz"], max_new_tokens=200)
    assert (choice.text, choice.finish_reason) == ("hello ", "stop")
    assert usage.completion_tokens == len(choice.tokens) == len("hello wor")


def test_the_last_token_may_complete_a_stop_string(make):
    [choice], _, _ = collect(make(), stop="lo", max_new_tokens=5)
    assert (choice.text, choice.finish_reason) == ("hel", "stop")


def test_streamed_and_collected_are_the_same(make):
    runtime = make(ScriptedModel("né 👍 END"))
    steps = asyncio.run(streamed(runtime, body(stop="EN", n=2)))
    choices, _, _ = collect(runtime, stop="EN", n=2)
    for choice in choices:
        own = [step for step in steps if step.index == choice.index]
        assert [step.token for step in own] == choice.tokens
        assert [step.finish_reason for step in own] == [None] * (len(own) - 1) + [choice.finish_reason]
    assert [step.is_last for step in steps] == [False] * (len(steps) - 1) + [True]


def test_choices_draw_with_seeds_of_their_own(make):
    runtime = make(ScriptedModel(margin=0.0))
    fields = dict(temperature=1.0, max_new_tokens=12)
    three, usage, seed = collect(runtime, n=3, seed=41, **fields)
    assert seed == 41
    assert usage.prompt_tokens == 4
    assert len({choice.text for choice in three}) == 3
    [second], _, _ = collect(runtime, seed=42, **fields)
    assert second.tokens == three[1].tokens
    assert [choice.index for choice in three] == [0, 1, 2]


def test_a_seed_by_chance_is_told_and_can_be_used_again(make):
    runtime = make(ScriptedModel(margin=0.0))
    [first], _, seed = collect(runtime, temperature=1.0, max_new_tokens=12)
    [other], _, other_seed = collect(runtime, temperature=1.0, max_new_tokens=12)
    [again], _, _ = collect(runtime, temperature=1.0, max_new_tokens=12, seed=seed)
    assert again.tokens == first.tokens
    assert (other_seed, other.text) != (seed, first.text)


def test_the_last_seed_is_followed_by_the_first(make):
    choices, _, _ = collect(make(), seed=2**63 - 1, n=2)
    assert [choice.text for choice in choices] == ["hello world"] * 2


def test_what_everyone_else_is_doing_changes_nothing(make):
    runtime = make(ScriptedModel(margin=0.0))
    fields = dict(temperature=1.0, max_new_tokens=20, seed=5)
    alone, _, _ = collect(runtime, **fields)

    async def together() -> list[list[Choice]]:
        others = [collected(runtime, body(temperature=1.0, max_new_tokens=5 + i, seed=i)) for i in range(6)]
        return [choices for choices, _, _ in await asyncio.gather(collected(runtime, body(**fields)), *others)]

    assert asyncio.run(together())[0] == alone


def test_messages_go_through_the_template(make):
    network = ScriptedModel("hi")
    messages = [{"role": "user", "content": "<|im_end|> x"}]
    [choice], usage, _ = collect(make(network), messages=messages)
    assert choice.text == "hi"
    prompt = [IM_START, *b"user\n<|im_end|> x", IM_END, *b"\n", IM_START, *b"assistant\n"]
    assert network.prompts == [prompt]
    assert usage.prompt_tokens == len(prompt)


def test_control_tokens_in_a_prompt_are_plain_text(make):
    network = ScriptedModel("hi")
    collect(make(network), prompt="<|im_end|>")
    assert network.prompts == [[*b"<|im_end|>"]]


def test_new_tokens_omitted_fill_the_room_up_to_256(make):
    roomy = make(ScriptedModel("x" * 1000, context_length=1000))
    assert collect(roomy)[1].completion_tokens == 256
    tight = make(ScriptedModel("x" * 1000, context_length=100))
    [choice], usage, _ = collect(tight)
    assert (usage.total_tokens, choice.finish_reason) == (100, "length")


def test_the_context_can_be_filled_to_the_last_token_and_no_further(make):
    runtime = make(ScriptedModel("x" * 100, context_length=20))
    assert collect(runtime, max_new_tokens=16)[1].total_tokens == 20
    with pytest.raises(ContextLengthExceeded, match=r"4 tokens .* 17 new ones .* 20 of the context") as refusal:
        collect(runtime, max_new_tokens=17)
    assert refusal.value.param == "max_new_tokens"
    with pytest.raises(ContextLengthExceeded) as refusal:
        collect(runtime, prompt="x" * 20)
    assert refusal.value.param == "prompt"
    with pytest.raises(ContextLengthExceeded, match="1000000000 new ones"):
        collect(runtime, max_new_tokens=10**9)
    with pytest.raises(ContextLengthExceeded) as refusal:
        collect(runtime, messages=[{"role": "user", "content": "x" * 20}])
    assert refusal.value.param == "messages"


def test_the_key_value_memory_is_a_limit_too(make):
    runtime = make(ScriptedModel("x" * 100), kv_cache_tokens=10)
    assert collect(runtime)[1].total_tokens == 10
    with pytest.raises(ContextLengthExceeded, match="10 of the key-value memory"):
        collect(runtime, max_new_tokens=7)


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"prompt": None}, InvalidRequest, "prompt"),
        ({"messages": [{"role": "user", "content": "Hi"}], "prompt": "Hi"}, InvalidRequest, "messages"),
        ({"prompt": "x" * 1001}, TooLarge, "prompt"),
        ({"messages": [{"role": "user", "content": "é" * 251}] * 2}, TooLarge, "messages"),
        ({"model": "nothing"}, ModelNotFound, "model"),
        ({"n": 9}, InvalidRequest, "n"),
    ],
)
def test_what_is_refused_before_any_work(make, fields, error, param):
    network = ScriptedModel()
    runtime = make(network, max_text_bytes=1000, max_queued_requests=8)
    with pytest.raises(error) as refusal:
        collect(runtime, **fields)
    assert refusal.value.param == param
    assert network.prompts == []


def test_messages_want_a_template(make):
    with pytest.raises(NoChatTemplate):
        collect(make(chat_template=None), messages=[{"role": "user", "content": "Hi"}])


def test_a_text_without_a_token_is_refused(make):
    words = WordTokenizer.build(" ".join(f"w{i}" for i in range(257)) + " the", 1)
    network = ScriptedModel()
    network.config = ModelConfig(vocab_size=words.vocab_size, context_length=64, emb_dim=4, n_heads=1, n_layers=1)
    runtime = make(network, tokenizer=words)
    with pytest.raises(InvalidRequest, match="no token for this text"):
        collect(runtime, prompt="  \n ")
    with pytest.raises(UnknownWord) as refusal:
        collect(runtime, prompt="the terraces")
    assert refusal.value.param == "prompt"


def test_a_full_queue_refuses_at_once(make):
    runtime = make(ScriptedModel("x" * 400, pass_s=0.002), max_queued_requests=2, kv_cache_tokens=410)

    async def scenario() -> None:
        running = await prepare(runtime, body(max_new_tokens=400))
        running.start()
        await anext(running.progress())
        late = await prepare(runtime, body(max_new_tokens=400, n=2))
        waiting = await prepare(runtime, body(max_new_tokens=400))
        waiting.start()
        with pytest.raises(QueueFull):  # there was room when it was prepared
            late.start()
        with pytest.raises(QueueFull):
            await prepare(runtime, body(n=2))
        for generation in (running, late, waiting):
            generation.close()
            assert generation.is_finished

    asyncio.run(scenario())


def test_closing_early_gives_everything_back(make):
    runtime = make(ScriptedModel("x" * 400, pass_s=0.002))

    async def scenario() -> None:
        generation = await prepare(runtime, body(max_new_tokens=400, n=3))
        generation.start()
        async for step in generation.progress():
            if step.index == 2:
                break
        generation.close()
        generation.close()

    asyncio.run(scenario())
    loop = runtime.models.get().loop
    assert eventually(lambda: loop.running == 0, 1.0) < 1.0


def test_a_server_that_stops_ends_texts_as_aborted(make):
    runtime = make(ScriptedModel([*b"ab", *b"E" * 400], pass_s=0.002))

    async def scenario() -> list[Progress]:
        generation = await prepare(runtime, body(max_new_tokens=400, n=2, stop="EX"))
        generation.start()
        steps = []
        async for step in generation.progress():
            steps.append(step)
            if len(steps) == 6:
                asyncio.get_running_loop().run_in_executor(None, runtime.models.get().loop.close)
        return steps

    steps = asyncio.run(scenario())
    assert [step.finish_reason for step in steps if step.finish_reason] == ["abort", "abort"]
    assert [step.is_last for step in steps].count(True) == 1
    assert steps[-1].is_last


def test_top_tokens_are_told_best_first(make):
    [choice], _, _ = collect(make(ScriptedModel("hé")), top_logprobs=3, max_new_tokens=3)
    first = choice.tokens[0]
    assert len(first.top) == 3
    assert (first.top[0].text, first.top[0].logprob) == ("h", first.logprob)
    assert first.top[0].logprob > first.top[1].logprob
    assert choice.tokens[1].top[0].text == "\ufffd"  # half of é, by itself


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 1e-300},
        {"temperature": 100.0, "top_p": 1e-300},
        {"repetition_penalty": 0.01, "temperature": 1e-300},
        {"repetition_penalty": 100.0},
        {"top_k": 2**20, "min_p": 1.0, "temperature": 0.5},
    ],
)
def test_parameters_at_their_ends_still_write(make, fields):
    [choice], _, _ = collect(make(ScriptedModel(margin=3.0)), max_new_tokens=8, **fields)
    assert choice.finish_reason in ("stop", "length")
    assert all(token.logprob <= 0 for token in choice.tokens)


def test_a_network_of_random_weights_writes_what_it_would_alone(make):
    """No scripted network here: tokens by `/generate`'s path and by a plain greedy loop are the same."""
    torch.manual_seed(3)
    config = ModelConfig(vocab_size=ByteTokenizer.vocab_size, context_length=64, emb_dim=16, n_heads=2, n_layers=2)
    network = Transformer(config).eval()
    network.requires_grad_(False)
    ids = [*b"Once"]
    for _ in range(20):
        ids.append(int(network(torch.tensor([ids]))[0, -1].argmax()))
    runtime = make(lambda *_: network)
    [choice], _, _ = collect(runtime, max_new_tokens=20)
    written = [token.id for token in choice.tokens]
    assert written == ids[4 : 4 + len(written)]
    assert len(written) == 20 or written[-1] in (256, 257, 258)


def test_it_goes_on_behind_tokens_that_were_written(make):
    network = ScriptedModel("lo")
    [choice], usage, _ = collect(make(network), begin=list(b"hel"))
    assert choice.text == "lo"
    assert network.prompts == [[*b"Once", *b"hel"]]
    assert usage == Usage(prompt_tokens=7, completion_tokens=3)


def test_an_answer_goes_on_behind_the_conversation(make):
    network = ScriptedModel("lo")
    runtime = make(network)
    messages = [{"role": "user", "content": "Hi"}]
    collect(runtime, messages=messages)
    [choice], _, _ = collect(runtime, messages=messages, begin=list(b"hel"))
    assert choice.text == "lo"
    assert network.prompts[1] == network.prompts[0] + list(b"hel")


def test_half_a_character_is_gone_on_with(make):
    whole = "é".encode()
    [choice], _, _ = collect(make(ScriptedModel(list(whole[1:]))), begin=[whole[0]])
    assert choice.text == "é"


def test_tokens_that_the_model_has_not_are_refused(make):
    with pytest.raises(TokenOutOfRange) as refused:
        collect(make(), begin=[104, ByteTokenizer.vocab_size])
    assert refused.value.param == "begin.1"


def test_what_was_written_needs_room_as_well(make):
    with pytest.raises(ContextLengthExceeded) as refused:
        collect(make(), begin=[104] * 500, max_new_tokens=10)
    assert "504 tokens of prompt" in refused.value.message
    assert refused.value.param == "max_new_tokens"
