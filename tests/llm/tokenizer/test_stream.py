import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.tokenizer.stream import ByteStream, StopStrings
from tests.fuzz.stop_strings import by_character, by_push

TEXTS = st.text(st.sampled_from("a é中👍\u0301") | st.characters(exclude_categories=["Cs"]), max_size=20)


def test_a_character_is_held_back_until_it_is_whole():
    content = "👍!".encode()
    stream = ByteStream(lambda index: content[index : index + 1])
    assert [stream.push(index) for index in range(5)] == ["", "", "", "👍", "!"]
    assert stream.flush() == ""


def test_what_never_became_a_character_is_said_at_the_end():
    stream = ByteStream(lambda _: b"\xf0\x9f")
    assert (stream.push(0), stream.flush()) == ("", "\N{REPLACEMENT CHARACTER}")


@given(TEXTS)
def test_no_broken_character_is_ever_let_through(text):
    content = text.encode()
    stream = ByteStream(lambda index: content[index : index + 1])
    shown = ""
    for index in range(len(content)):
        shown += stream.push(index)
        assert text.startswith(shown)
    assert (shown, stream.flush()) == (text, "")


@given(st.lists(st.binary(max_size=5)))
def test_in_the_end_the_stream_has_said_what_decoding_at_once_says(pieces):
    stream = ByteStream(pieces.__getitem__)
    streamed = "".join([stream.push(index) for index in range(len(pieces))]) + stream.flush()
    assert streamed == b"".join(pieces).decode("utf-8", errors="replace")


@given(
    st.lists(st.text("ab ", min_size=1, max_size=4), max_size=4),
    st.lists(st.text("ab c", max_size=4)),
)
def test_stop_strings_end_the_text_however_it_is_cut(stops, pushes):
    assert by_push(stops, pushes) == by_character(stops, "".join(pushes))


def test_text_that_may_begin_a_stop_string_waits():
    watch = StopStrings(["</s>", "\n\n"])
    assert watch.push("one <") == ("one ", False)
    assert watch.push("b> two\n") == ("<b> two", False)
    assert watch.push("\nthree") == ("", True)
    assert watch.push("more") == ("", True)
    assert watch.flush() == ""


def test_what_waited_comes_when_the_text_is_over():
    watch = StopStrings(["stop"])
    assert watch.push("sto") == ("", False)
    assert watch.flush() == "sto"


@pytest.mark.parametrize("stops", [[], ["x"]])
def test_nothing_waits_that_need_not(stops):
    assert StopStrings(stops).push("all of it") == ("all of it", False)
