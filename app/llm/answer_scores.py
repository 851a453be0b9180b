"""How near an answer comes to the one wanted, word for word: as SQuAD scores (Rajpurkar et al. 2016)."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normal_form(text: str) -> str:
    """Small letters, without punctuation and English articles, words one space apart."""
    kept = "".join(c for c in text.lower() if not unicodedata.category(c).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(answer: str, reference: str) -> bool:
    """Whether both have one normal form; where that is nothing (of "!"), whether they are the same as written."""
    ours, wanted = normal_form(answer), normal_form(reference)
    return ours == wanted if ours or wanted else answer.strip() == reference.strip()


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of the shares of words that both have, each as often as in the other; from 0 to 1."""
    ours, wanted = normal_form(answer).split(), normal_form(reference).split()
    if not ours or not wanted:
        return float(exact_match(answer, reference))
    shared = sum((Counter(ours) & Counter(wanted)).values())
    return 2 * shared / (len(ours) + len(wanted))
