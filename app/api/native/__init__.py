"""The native API at the root: one router a resource."""

from app.api.native import (
    datasets,
    embeddings,
    generate,
    health,
    inspect,
    jobs,
    metrics,
    model_files,
    models,
    tokenizers,
    tokens,
    windows,
)

routers = [
    tokens.router,  # first: the most often called, and routes are tried in order
    health.router,
    metrics.router,
    tokenizers.router,
    windows.router,
    embeddings.router,
    model_files.router,
    models.router,
    generate.router,
    inspect.router,
    datasets.router,
    jobs.router,
]
