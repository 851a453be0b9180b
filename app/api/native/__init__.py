"""The native API at the root: one router a resource."""

from app.api.native import datasets, generate, health, jobs, model_files, models, tokenizers, tokens

__all__ = ["datasets", "generate", "health", "jobs", "model_files", "models", "routers", "tokenizers", "tokens"]

routers = [
    health.router,
    tokens.router,
    tokenizers.router,
    model_files.router,
    models.router,
    generate.router,
    datasets.router,
    jobs.router,
]
