"""The page that leads from a file to a running job: data, what is learnt from it, what that takes, and the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.deps import RuntimeDep
from app.api.pages.job_form import JobForm
from app.api.pages.render import render
from app.llm.config import PRESETS

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Preset:
    name: str
    about: str


@dataclass(frozen=True)
class TrainPage:
    template: ClassVar[str] = "train.html"
    place: ClassVar[str] = "train"

    default_tokenizer: str
    presets: tuple[Preset, ...]
    form: JobForm = field(default_factory=JobForm)


@router.get("/ui/train")
def train(runtime: RuntimeDep) -> HTMLResponse:
    """Show the form that starts a job; a script fills it as the address says."""
    presets = tuple(
        Preset(name, f"{shape['n_layers']} layers of {shape['emb_dim']}, context {shape['context_length']}")
        for name, shape in PRESETS.items()
    )
    return render(TrainPage(runtime.settings.default_tokenizer, presets))
