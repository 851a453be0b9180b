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
    health.router,
    metrics.router,
    tokens.router,
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
