"""The OpenAI-compatible API under /v1: wire mapping alone; the services are those of the native routes."""

from app.api.openai import chat, completions, embeddings, models, tokens

routers = [models.router, completions.router, chat.router, embeddings.router, tokens.router]
