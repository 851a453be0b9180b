"""The HTML pages. They know the services only to say what they show; everything live is fetched by the browser."""

from fastapi import APIRouter

from app.api.pages import (
    attention,
    compare,
    dataset,
    datasets,
    docs,
    embeddings,
    generate,
    home,
    jobs,
    learn,
    model,
    models,
    sign_in,
    tokens,
    train,
)

router = APIRouter(include_in_schema=False)
for page in (
    home,
    generate,
    tokens,
    embeddings,
    attention,
    models,
    model,
    compare,
    datasets,
    dataset,
    train,
    jobs,
    learn,
    docs,
    sign_in,
):
    router.include_router(page.router)
