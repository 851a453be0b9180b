"""vLLM's token routes, asked of the remote server: they are about its tokenizer."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.api.answering import whole
from app.api.remote.deps import REFUSALS, RemoteDep
from app.schemas.vllm import DetokenizeIn, DetokenizeOut, PromptTokenizeIn, TokenizerInfoOut
from app.services import tokens
from app.services.remote import Remote
from app.services.runtime import Runtime

router = APIRouter(tags=["openai"])


async def tokenize_prompt(body: PromptTokenizeIn, request: Request, runtime: Runtime, remote: Remote) -> Response:
    """What the remote server answers to vLLM's body of POST /tokenize. A client that hangs up ends the work.

    Raises:
        TooLarge: it is more text than one call may have.
        RemoteRefused, RemoteFailed, RemoteUnavailable, RemoteTimeout: there is no answer.
    """
    tokens.check_size(body.texts, runtime.settings.max_text_bytes, param=body.param)
    fields = body.model_dump(mode="json", exclude_unset=True)
    return await whole(request, lambda: remote.ask("POST", "/tokenize", fields, at_root=True))


@router.post("/detokenize", response_model=DetokenizeOut, responses=REFUSALS)
async def detokenize(body: DetokenizeIn, request: Request, remote: RemoteDep) -> Response:
    """The text of ids of a remote model."""
    fields = body.model_dump(mode="json", exclude_unset=True)
    return await whole(request, lambda: remote.ask("POST", "/detokenize", fields, at_root=True))


@router.get("/tokenizer_info", response_model=TokenizerInfoOut, responses=REFUSALS)
async def read_tokenizer_info(request: Request, remote: RemoteDep) -> Response:
    """What a client must know of the remote server's tokenizer."""
    return await whole(request, lambda: remote.ask("GET", "/tokenizer_info", at_root=True))
