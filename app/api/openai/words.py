"""Tokens as OpenAI's answers name them."""

from __future__ import annotations


def token_name(content: bytes) -> str:
    """A token's text; `bytes:\\xf0\\x9f` where its bytes are no UTF-8 by themselves."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)
