"""POST /detokenize, GET /tokenizer_info, and vLLM's body of POST /tokenize, with which lm-eval needs no tokenizer."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.openai.words import token_name
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound, NotReady, TooLarge
from app.schemas.vllm import DetokenizeIn, DetokenizeOut, PromptTokenizeIn, PromptTokenizeOut, TokenizerInfoOut
from app.services import tokens
from app.services.completions import conversation_ids
from app.services.loaded_model import LoadedModel
from app.services.runtime import Runtime

router = APIRouter(tags=["openai"])

REFUSALS = refusals(ModelNotFound, CheckpointNotFound, TooLarge, DataMissing, NotReady)


async def tokenize_prompt(body: PromptTokenizeIn, runtime: Runtime) -> PromptTokenizeOut:
    """The ids that a model reads for a prompt or a conversation."""
    tokens.check_size(body.texts, runtime.settings.max_text_bytes, param=body.param)
    model = await runtime.model(body.model)
    ids = await asyncio.to_thread(_ids, model, body)
    names = [token_name(model.tokenizer.token_bytes(each)) for each in ids] if body.return_token_strs else None
    return PromptTokenizeOut(count=len(ids), max_model_len=model.config.context_length, tokens=ids, token_strs=names)


@router.post("/detokenize", responses=REFUSALS)
async def detokenize(body: DetokenizeIn, runtime: RuntimeDep) -> DetokenizeOut:
    """The text of a model's ids."""
    model = await runtime.model(body.model)
    tokens.check_ids(body.tokens, model.config.vocab_size, "tokens")
    most = runtime.settings.max_text_bytes
    [text] = await asyncio.to_thread(tokens.decode, model.tokenizer, [body.tokens], most, is_batch=False)
    return DetokenizeOut(prompt=text)


@router.get("/tokenizer_info", responses=REFUSALS)
async def read_tokenizer_info(runtime: RuntimeDep) -> TokenizerInfoOut:
    """What a client must know of the default model's tokenizer."""
    model = await runtime.model(None)
    eos_id = model.tokenizer.eos_id
    template = model.chat_template
    return TokenizerInfoOut(
        tokenizer_class="PreTrainedTokenizerFast",
        eos_token=None if eos_id is None else token_name(model.tokenizer.token_bytes(eos_id)),
        bos_token=None,
        pad_token=None,
        chat_template=None if template is None else template.source,
    )


def _ids(model: LoadedModel, body: PromptTokenizeIn) -> list[int]:
    if body.prompt is None:
        return conversation_ids(model, body.messages or ())
    return tokens.encode(model.tokenizer, body.prompt, parse_special=True, param="prompt")
