"""Text of a choice: whole characters, nothing of a stop string, and every token told once."""

import random

import pytest

from app.llm.engine.request import TokenEvent, TopToken
from app.llm.tokenizer.word import WordTokenizer
from app.services.transcript import Transcript
from tests.fakes import IM_END, IM_START, ByteTokenizer

BYTES = ByteTokenizer()


def event(index: int, token_id: int, finish_reason: str | None = None) -> TokenEvent:
    return TokenEvent("r", index, token_id, -0.5, -0.25, (TopToken(token_id, -0.5, None),), finish_reason)


def written(ids: list[int], stops: list[str], ending: str = "length") -> tuple[Transcript, list[list]]:
    """The transcript after `ids`, and what each of them released."""
    transcript, released = Transcript(BYTES, stops), []
    for index, token_id in enumerate(ids):
        is_last = index == len(ids) - 1
        released.append(transcript.push(event(index, token_id, ending if is_last else None)))
        if transcript.finish_reason:
            break
    return transcript, released


def text_of(released: list[list]) -> str:
    return "".join(token.text for step in released for token in step)


def test_a_token_is_told_with_its_bytes_logprobs_and_alternatives():
    _, [[token]] = written([ord("a")], [])
    assert (token.id, token.text, token.bytes, token.logprob, token.sampled_logprob) == (97, "a", [97], -0.5, -0.25)
    assert [(other.text, other.bytes, other.sampled_logprob) for other in token.top] == [("a", [97], None)]


def test_a_cut_character_comes_with_its_last_byte():
    _, released = written(list("é👍".encode()), [])
    assert [token.text for step in released for token in step] == ["", "é", "", "", "", "👍"]
    assert all(len(step) == 1 for step in released)  # nothing was held back


def test_bytes_that_never_become_a_character_are_told_at_the_end():
    transcript, released = written([*b"a", *"👍".encode()[:2]], [])
    assert [token.text for step in released for token in step] == ["a", "", "\ufffd"]
    assert transcript.finish_reason == "length"


def test_the_end_of_text_token_is_listed_without_text():
    transcript, released = written([*b"hi", IM_END], [], "stop")
    assert text_of(released) == "hi"
    assert released[-1][-1].id == IM_END
    assert (transcript.finish_reason, transcript.token_count) == ("stop", 3)


def test_other_control_tokens_are_no_text_either():
    _, released = written([*b"a", IM_START, *b"b"], [])
    assert [token.text for step in released for token in step] == ["a", "", "b"]


def test_what_may_begin_a_stop_string_is_held_back_until_it_cannot():
    _, released = written(list(b"xENabc"), ["END"])
    assert [len(step) for step in released] == [1, 0, 0, 3, 1, 1]
    assert text_of(released) == "xENabc"


def test_a_stop_string_ends_the_text_before_it():
    transcript, released = written(list(b"one END two"), ["END"])
    assert text_of(released) == "one "
    assert (transcript.finish_reason, transcript.token_count) == ("stop", 7)
    assert [token.text for token in released[-1]] == ["", "", ""]


def test_a_token_that_holds_text_and_the_stop_is_cut():
    class Words(ByteTokenizer):
        def token_bytes(self, token_id: int) -> bytes:
            return b"hello, world" if token_id == 0 else super().token_bytes(token_id)

    transcript = Transcript(Words(), [", "])
    [token] = transcript.push(event(0, 0))
    assert (token.text, token.bytes) == ("hello", list(b"hello, world"))
    assert transcript.finish_reason == "stop"


def test_what_was_held_back_comes_when_the_text_ends_otherwise():
    transcript, released = written(list(b"aEN"), ["END"])
    assert text_of(released) == "aEN"
    assert transcript.finish_reason == "length"


def test_an_abort_gives_what_was_held_back():
    transcript = Transcript(BYTES, ["END"])
    assert transcript.push(event(0, ord("E"))) == []
    assert [token.text for token in transcript.abort()] == ["E"]
    assert transcript.finish_reason == "abort"


def test_words_go_on_after_the_prompt_as_the_book_joins_them():
    words = WordTokenizer.build("the end .", 1)
    the, end, dot = (words.encode(word)[0] for word in ("the", "end", "."))
    transcript = Transcript(words, [], after=the)
    texts = [transcript.push(event(0, end))[0].text, transcript.push(event(1, dot, "length"))[0].text]
    assert texts == [" end", "."]


@pytest.mark.parametrize("seed", range(40))
def test_any_text_and_any_stops(seed):
    """Tokens are told in order, once each; their texts join to the text up to the first stop string."""
    chance = random.Random(seed)
    text = "".join(chance.choice("aab é👍") for _ in range(30))
    stops = ["".join(chance.choice("ab é") for _ in range(chance.randint(1, 4))) for _ in range(chance.randint(0, 3))]
    ids = list(text.encode())
    transcript, released = written(ids, stops)
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert text_of(released) == (text[: min(found)[1]] if found else text)
    tokens = [token for step in released for token in step]
    assert [token.id for token in tokens] == ids[: transcript.token_count] == ids[: len(tokens)]
    assert transcript.finish_reason == ("stop" if found else "length")


def test_a_character_that_was_begun_before_ends_here():
    begun, rest = "né".encode()[:2], "né".encode()[2:]
    transcript = Transcript(BYTES, [], after=begun[-1], begun=[IM_START, *begun])
    [token] = transcript.push(event(0, rest[0]))
    assert token.text == "é"


def test_what_was_begun_is_no_part_of_the_text_nor_of_a_stop_string():
    transcript = Transcript(BYTES, ["END"], begun=list(b"EN"))
    assert "".join(token.text for token in transcript.push(event(0, ord("D"), "length"))) == "D"
    assert transcript.finish_reason == "length"
