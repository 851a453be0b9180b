"""Greedy writing with an untrained model: nonsense, but the book's (torch's CPU draws, seed 123)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from app.llm.lessons.generation import generate_text_simple
from app.llm.lessons.gpt import GPT
from app.llm.tokenizer.base import Tokenizer
from tests.llm.lessons.book import Chapter4


@pytest.fixture(scope="module")
def written(chapter4: Chapter4, gpt2: Tokenizer) -> list[int]:
    """Ten tokens of chapter 4's model."""
    prompt = torch.tensor([gpt2.encode("Hello, I am")])
    return generate_text_simple(chapter4.gpt, prompt, 10, context_size=1024)[0].tolist()


@pytest.mark.parametrize("fact", ["ch04.generate6", "ch04.generate10"])
def test_chapter_4_writes(golden: Any, written: list[int], gpt2: Tokenizer, fact: str) -> None:
    """Six tokens and ten: the likeliest does not depend on how many are to come."""
    asked, expected = golden(fact)["inputs"], golden(fact)["expected"]
    ids = written[: len(gpt2.encode(asked["prompt"])) + asked["max_new_tokens"]]
    assert ids == expected["ids"]
    assert gpt2.decode(ids) == expected["text"]


def test_chapter_5_writes(golden: Any, chapter5: GPT, gpt2: Tokenizer) -> None:
    """The fact's text has an Arabic nun in `wasn`, where its ids have the letter n: beside the next token, an Arabic
    mim, the two are easily taken for each other. The ids stand.
    """
    asked, expected = golden("ch05.generate")["inputs"], golden("ch05.generate")["expected"]
    prompt = torch.tensor([gpt2.encode(asked["prompt"])])
    ids = generate_text_simple(chapter5, prompt, 10, asked["context_length"])[0].tolist()
    assert ids == expected["ids"]
    assert gpt2.decode(ids) == expected["text"].replace("\u0646", "n")


def test_only_the_end_of_a_long_text_is_read() -> None:
    seen: list[list[int]] = []

    def counts_on(ids: Tensor) -> Tensor:
        """Whatever was last, plus one."""
        seen.append(ids[0].tolist())
        return F.one_hot((ids + 1) % 10, 10).float()

    assert generate_text_simple(counts_on, torch.tensor([[1, 2, 3]]), 4, context_size=4).tolist() == [
        [1, 2, 3, 4, 5, 6, 7]
    ]
    assert seen == [[1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]
