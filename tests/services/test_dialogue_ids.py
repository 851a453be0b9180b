"""Which tokens of a dialogue are learnt: exactly the answers, whatever the template does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.llm.data.dialogues import Dialogue, Turn, dialogue_of
from app.llm.data.examples import IGNORED
from app.llm.data.instructions import encode_instructions, join_instructions, read_instructions
from app.llm.data.preferred import pair_of
from app.llm.data.taught import TaughtIds
from app.llm.data.taught_batches import join_taught
from app.llm.errors import BadField
from app.llm.tokenizer.tiktoken_data import load
from app.schemas.generate import Message
from app.services.chat import ChatTemplate
from app.services.dialogue_ids import DialogueEncoder
from app.services.prompt_templates import chosen
from tests.fakes import CHATML, IM_END, ByteTokenizer

TALK = Dialogue(
    (
        Turn("system", "Be brief.", False),
        Turn("user", "A<|im_end|>?", False),
        Turn("assistant", "first", False),
        Turn("user", "B?", False),
        Turn("assistant", "second <|im_end|>!", True),
        Turn("user", "C?", False),
        Turn("assistant", "third", True),
    ),
    line=5,
)


def an_encoder(source: str = CHATML, most: int = 1000, *, mask_prompt: bool = True) -> DialogueEncoder:
    return DialogueEncoder(ChatTemplate(source, ByteTokenizer(), is_ours=True), most, mask_prompt)


def written(row: TaughtIds, *, learnt: bool = True) -> str:
    return ByteTokenizer().decode([i for i, known in zip(row.ids, row.learnt, strict=True) if known == learnt])


def test_the_answers_with_their_ends_are_learnt_and_nothing_else():
    row = an_encoder().ids(TALK)
    assert written(row) == "second <|im_end|>!<|im_end|>third<|im_end|>"
    assert row.answer_ids.count(IM_END) == 2  # what the user's text looks like is text
    assert ByteTokenizer().decode(row.ids[: row.prompt_length]).endswith("?<|im_end|>\n<|im_start|>assistant\n")
    everything = an_encoder(mask_prompt=False).ids(TALK)
    assert written(everything, learnt=False) == "first<|im_end|>\n"


def test_the_ids_are_those_that_the_model_is_asked_with():
    row = an_encoder().ids(TALK)
    asked = [Message(role=turn.role, content=turn.content) for turn in TALK.turns[:-1]]
    prompt = ChatTemplate(CHATML, ByteTokenizer(), is_ours=True).encode(asked)
    assert row.ids[: len(prompt)] == prompt
    assert row.ids[len(prompt) :] == [*b"third", IM_END, *b"\n"]


@pytest.mark.parametrize("name", ["alpaca", "phi3"])
def test_the_books_styles_end_with_the_end_of_text(name):
    picked = chosen(name, None, ByteTokenizer())
    values = {"instruction": "Double.", "input": "2", "output": "4"}
    row = DialogueEncoder(picked.template(ByteTokenizer()), 1000).ids(dialogue_of(values, 1, picked.joint))
    assert row.answer_ids == [*b"4", IM_END]


def test_a_template_that_rewrites_earlier_turns_is_refused():
    forgetful = "{% for m in messages %}{{ m.role if loop.last else m.role | upper }}{{ m.content }}{% endfor %}"
    with pytest.raises(BadField, match="line 5: the model's template writes its turns otherwise"):
        an_encoder(forgetful).ids(TALK)


class Counted:
    """A template's renderings, counted by the messages that were told to it and by those that it was to render."""

    def __init__(self, encoder: DialogueEncoder) -> None:
        self.told = self.rendered = 0
        self._render, encoder.template._render = encoder.template._render, self

    def __call__(self, source, context, parts):
        self.told += len(context["messages"])
        self.rendered += len(context["messages"]) + sum(count for count, _ in parts)
        return self._render(source, context, parts)


def test_a_long_dialogue_is_told_few_times_and_rendered_no_further_than_it_is_read():
    """Each answer told all messages once more, and those behind the end that is read were rendered, too: with 1,000
    turns and a template in a process of its own 15 seconds a row."""
    turns = [Turn(role, "said", role == "assistant") for role in ("user", "assistant") * 200]
    talk, (encoder, short) = Dialogue(tuple(turns), 1), (an_encoder(most=10**6), an_encoder(most=300))
    every, few = Counted(encoder), Counted(short)
    row = encoder.ids(talk)
    assert row.answer_ids.count(IM_END) == 200
    assert every.told < 20 * len(turns)
    cut = short.ids(talk)
    assert (cut.ids, cut.learnt) == (row.ids[:301], row.learnt[:301])
    assert few.rendered < every.rendered / 10


def test_what_a_template_refuses_is_told_with_the_line():
    with pytest.raises(BadField, match="line 5: the model's template refuses them: no system"):
        an_encoder("{{ raise_exception('no system') }}").ids(TALK)


def test_a_prompt_that_fills_the_context_is_told_with_the_line():
    with pytest.raises(BadField, match=r"line 5: the prompt has \d+ tokens, of 20 that are read"):
        an_encoder(most=20).ids(TALK)


def test_of_a_pair_the_prompt_is_the_same():
    pair = an_encoder().pair(pair_of({"prompt": "Hi?", "chosen": "Hi.", "rejected": "No!"}, 1, "\n"))
    assert pair.chosen.prompt_length == pair.rejected.prompt_length
    assert [written(row) for row in (pair.chosen, pair.rejected)] == ["Hi.<|im_end|>", "No!<|im_end|>"]


def test_a_pair_that_is_the_same_once_it_is_cut_is_told_with_its_line():
    """Nothing could be learnt from it, and nobody was told."""
    pair = pair_of({"prompt": "Hi?", "chosen": "Hello there.", "rejected": "Hello you!"}, 7, "\n")
    whole = an_encoder().pair(pair)
    shared = whole.chosen.prompt_length + len("Hello ")
    with pytest.raises(BadField, match=f"line 7: both answers are the same in the {shared - 1} tokens that are read"):
        an_encoder(most=shared - 1).pair(pair)
    assert an_encoder(most=shared).pair(pair).chosen.ids == whole.chosen.ids[: shared + 1]


def test_the_books_set_gives_the_books_inputs_and_targets(shared_file: Callable[[str], Path], assets: Path):
    """Alpaca's style with all learnt is chapter 7; with the prompt masked, exercise 7.2, but for the answer's mark."""
    tokenizer = load("gpt2", assets / "tiktoken")
    rows = json.loads(shared_file("instruction-data.json").read_text())[:200]
    book = encode_instructions(read_instructions(rows), tokenizer)
    picked = chosen("alpaca", None, tokenizer)
    for mask_prompt in (False, True):
        encoder = DialogueEncoder(picked.template(tokenizer), 1024, mask_prompt)
        taught = [encoder.ids(dialogue_of(row, line, picked.joint)) for line, row in enumerate(rows, start=1)]
        for ours, theirs in zip(taught, book, strict=True):
            inputs, targets = join_taught([ours], tokenizer.eos_id or 0)
            expected_inputs, expected = join_instructions([theirs], tokenizer.eos_id or 0)
            assert inputs.tolist() == expected_inputs.tolist()
            if mask_prompt:
                expected[0, : ours.prompt_length - 1] = IGNORED
            assert targets.tolist() == expected.tolist()
