"""The native API at the root: one router a resource."""

from app.api.native import datasets, generate, health, inspect, jobs, models, tokenizers, tokens

__all__ = ["datasets", "generate", "health", "inspect", "jobs", "models", "routers", "tokenizers", "tokens"]

routers = [
    health.router,
    tokens.router,
    tokenizers.router,
    models.router,
    generate.router,
    inspect.router,
    datasets.router,
    jobs.router,
]
