"""The HTML pages. They know the services only to say what they show; everything live is fetched by the browser."""

from fastapi import APIRouter

from app.api.pages import docs, home, inspect, jobs, models, tokenizers

router = APIRouter(include_in_schema=False)
for page in (home, tokenizers, inspect, models, jobs, docs):
    router.include_router(page.router)
