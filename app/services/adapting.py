"""LoRA as an option of a job, whatever its recipe: what is refused, how the result is called, what learns.

The base is a model that is registered or ships, and stays so: an adapter means nothing without it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.errors import InvalidRequest, WrongModel
from app.llm.config import AdapterConfig, ClassifierConfig, LoRAConfig, ModelConfig, adaptable
from app.schemas.job import JobCreate
from app.services import model_files
from app.services.storage import check_name

if TYPE_CHECKING:
    from app.llm.checkpoint import ModelMeta, Network
    from app.llm.model.adapter import Adapter
    from app.services.runtime import Runtime

RECIPES = {"pretrain", "instruct", "dpo"}
"""Those that make an adapter, which is a model of its own."""
WHOLE = {"classify"}
"""Those that have LoRA learn within the network that they make: a head of classes belongs to no base."""


def check(body: JobCreate, lora: LoRAConfig | None, network: object) -> None:
    """Pass a job that can learn an adapter, or that asks for none.

    Raises:
        InvalidRequest: the recipe cannot, there is no base to stand beside, or it has no layer of a name.
    """
    if lora is None:
        return None
    if body.recipe not in RECIPES | WHOLE:
        told = f"recipe {body.recipe} has no LoRA; {', '.join(sorted(RECIPES | WHOLE))} have"
        raise InvalidRequest(f"train.lora: {told}", param="train.lora")
    if isinstance(network, ClassifierConfig):
        return _check_targets(lora, (*adaptable(network.body), "head"))
    if not isinstance(body.model, str):
        raise InvalidRequest("model: an adapter stands beside a model that is there: name one", param="model")
    if "@" in body.model:
        told = "an adapter stands beside a registered model; a checkpoint may go"
        raise InvalidRequest(f"model: {told}", param="model")
    assert isinstance(network, ModelConfig), "such recipes learn decoders"
    _check_targets(lora, adaptable(network))


def _check_targets(lora: LoRAConfig, there: tuple[str, ...]) -> None:
    odd = [name for name in lora.targets or () if name not in there]
    if odd:
        told = f"the network has no linear layers called {odd[0]}; it has {', '.join(there)}"
        raise InvalidRequest(f"train.lora.targets: {told}", param="train.lora.targets")


def name_of(base: str, asked: str | None, job_id: str, suffix: str | None = None) -> str:
    """What the adapter is called: its base, a colon, and the name that was asked for or made up.

    Raises:
        InvalidRequest: it cannot be a name, or begins with another model's.
    """
    if asked is None:
        return f"{base}:{suffix or 'lora'}-{job_id[-6:]}"
    before, colon, own = asked.rpartition(":")
    if colon and before != base:
        raise InvalidRequest(f"name: an adapter of {base} is called {base}:…, not {asked[:200]!r}", param="name")
    return f"{base}:{check_name(own)}"


def begun(runtime: Runtime, lora: LoRAConfig | None, model: Network, meta: ModelMeta) -> tuple[Network, ModelMeta]:
    """The network that a job begins with, an adapter beside it if it asks for one, whose weights alone learn.

    What is drawn comes from torch's generator.

    Raises:
        AppError: its base is not there any more.
        BadConfig: the network has no layer of a name.
    """
    if lora is None:
        return model, meta
    from app.llm.model.lora import apply_lora

    if isinstance(meta.config, ClassifierConfig):
        apply_lora(model, lora)
        return model, replace(meta, config=replace(meta.config, lora=lora))
    assert isinstance(meta.config, ModelConfig), "checked when the job was made"
    assert meta.base_model is not None, "checked when the job was made"
    with runtime.database.read() as session:
        base = model_files.find(session, runtime.storage, meta.base_model)
    config = AdapterConfig(meta.config, lora, base.version)
    apply_lora(model, lora)
    return model, replace(meta, config=config)


def resumed(runtime: Runtime, found: Network | Adapter, meta: ModelMeta) -> Network:
    """What a checkpoint holds, as a network that learns on: an adapter is beside its base again.

    Raises:
        AppError: its base is not there any more.
        BadWeights, BadCheckpoint: its base is damaged, or another one has its name.
    """
    from app.llm.model.adapter import Adapter, check_fits, wear
    from app.llm.model.stored import whole

    if not isinstance(found, Adapter):
        return found
    assert meta.base_model is not None, "an adapter has a base"
    with runtime.database.read() as session:
        base = model_files.find(session, runtime.storage, meta.base_model)
    weights = model_files.read(base)
    check_fits(found.config, weights.config, base.version, base.name)
    network = whole(weights.network)
    wear(network, found)
    return network


def refuse_adapter(config: object, name: str) -> None:
    """Pass a network.

    Raises:
        WrongModel: it is an adapter, where a network is needed.
    """
    if isinstance(config, AdapterConfig):
        told = "is an adapter, and its base stays as it is; export it merged, import that, and go on from there"
        raise WrongModel(f"model: {name} {told}", param="model")
