"""The OpenAI-compatible API under /v1: wire mapping alone; the services are those of the native routes."""

from app.api.openai import chat, completions, embeddings, files, fine_tuning, models, tokens

routers = [models.router, completions.router, chat.router, embeddings.router, tokens.router]
training_routers = [files.router, fine_tuning.router]
"""Of this machine, also where another one generates."""
