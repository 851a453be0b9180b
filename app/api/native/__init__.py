"""The native API at the root: one router a resource. What generates stands beside it, see `app.api.generating`."""

from app.api.native import (
    classify,
    datasets,
    embeddings,
    estimates,
    health,
    inspect,
    job_control,
    job_metrics,
    job_previews,
    jobs,
    metrics,
    model_files,
    models,
    reports,
    results,
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
    inspect.router,
    classify.router,
    datasets.router,
    estimates.router,
    job_previews.router,
    jobs.router,
    reports.router,
    results.router,
    job_metrics.router,
    job_control.router,
]
