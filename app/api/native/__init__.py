"""The native API at the root: one router a resource. What generates stands beside it, see `app.api.generating`."""

from app.api.native import (
    datasets,
    embeddings,
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
    health.router,
    metrics.router,
    tokens.router,
    tokenizers.router,
    windows.router,
    embeddings.router,
    model_files.router,
    models.router,
    inspect.router,
    datasets.router,
    jobs.router,
]
