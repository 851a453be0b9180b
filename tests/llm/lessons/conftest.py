"""The book's 124M models of chapters 4 and 5, drawn once: 650 MB each, held only as long as the lessons' tests run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.llm.lessons.gpt import GPT, GPT_CONFIG_124M
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.tiktoken_data import load
from tests.golden_facts import FACTS
from tests.llm.lessons.book import BATCH, Chapter4


@pytest.fixture(scope="package")
def chapter4() -> Chapter4:
    torch.manual_seed(123)
    gpt = GPT(GPT_CONFIG_124M)
    with torch.no_grad():
        training_logits = gpt(BATCH)
    return Chapter4(gpt.eval(), training_logits)


@pytest.fixture(scope="package")
def chapter5() -> GPT:
    """Chapter 5's model: the same with a context of 256, which makes another draw of all that follows the tables."""
    torch.manual_seed(123)
    return GPT(replace(GPT_CONFIG_124M, context_length=256)).eval()


@pytest.fixture(scope="session")
def gpt2(assets: Path) -> Tokenizer:
    return load("gpt2", assets / "tiktoken")


@pytest.fixture(scope="session")
def words() -> Tensor:
    """Chapter 3's six words as vectors of three."""
    return torch.tensor(FACTS["ch03.inputs"]["expected"])
