"""All recipes, by name, as the trainer asks them; what is asked before a job is written stands in `job_checks`."""

from __future__ import annotations

from app.services import classifying, instructing, preferring, pretraining, word2vec
from app.services.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    "pretrain": pretraining,
    "word2vec": word2vec,
    "classify": classifying,
    "instruct": instructing,
    "dpo": preferring,
}
