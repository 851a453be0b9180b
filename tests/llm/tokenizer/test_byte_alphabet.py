import pytest

from app.llm.tokenizer import byte_alphabet


def test_every_byte_has_one_character_and_one_place():
    assert sorted(byte_alphabet.BYTE_OF.values()) == list(range(256))
    assert sorted(byte_alphabet.BYTES_IN_ORDER) == [bytes([byte]) for byte in range(256)]


def test_the_space_and_the_newline_are_written_as_gpt2_writes_them():
    assert byte_alphabet.to_bytes("ĠtheĊ") == b" the\n"


def test_characters_outside_the_alphabet_are_refused():
    with pytest.raises(KeyError):
        byte_alphabet.to_bytes("the cat")
