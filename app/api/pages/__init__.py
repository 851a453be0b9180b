"""The HTML pages. They know the services only to say what they show; everything live is fetched by the browser."""

from fastapi import APIRouter

from app.api.pages import docs, home, jobs

parts = [home.router, jobs.router, docs.router]

router = APIRouter(include_in_schema=False)
for part in parts:
    router.include_router(part)
