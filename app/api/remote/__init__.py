"""The routes that generate, where a remote server does it: our checks and shapes, its models and texts."""

from app.api.remote import generate, models, relay, tokens

routers = [generate.router, models.router, relay.router, tokens.router]
"""Take the places of /generate and of all of `app.api.openai`."""
