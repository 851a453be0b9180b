"""Where the lessons lead to: the other pages of this service."""

from __future__ import annotations

TOKENS = "/ui/tokens"
GENERATE = "/ui/generate"
EMBEDDINGS = "/ui/embeddings"
ATTENTION = "/ui/attention"
TOKENIZERS = "/ui/tokens"
DATASETS = "/ui/datasets"
MODELS = "/ui/models"
JOBS = "/ui/jobs"
