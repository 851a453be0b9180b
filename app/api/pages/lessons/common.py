"""Fields and words that more than one chapter has."""

from __future__ import annotations

from app.api.pages.lessons.field import Field

MODEL = Field("model", "Model", "", "model", none="`make assets` brings one; then start the service again.")
STORY = Field("dataset", "Text", "", "dataset", of="text", prefers="the-verdict")
TASKS = Field("dataset", "Tasks", "", "dataset", of="instructions", prefers="instructions")
NOT_THE_VERDICT = "The book's numbers are of The Verdict, and this is another text: they say nothing about it."
EXACT = "No chance is in this: each number must be the same."
FOUR_DECIMALS = "The book prints four decimals, so 0.0001 is let pass."
DRAWN = f"Weights are drawn by torch's generator on the CPU; the same seed draws the same. {FOUR_DECIMALS}"
