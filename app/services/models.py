"""The models in memory, each with its engine: loaded when first asked for, the idle ones making room.

Knows names, memory and threads; where weights lie and how they are read is `model_files`' business.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.config import Settings
from app.db.owned import Owner, seen_by
from app.db.session import UNAVAILABLE, Database
from app.db.tables import model as model_table
from app.errors import AppError, Conflict, DataMissing, ModelNotFound, NotReady
from app.llm.progress import Progress, Tell
from app.log import get_logger
from app.services import memory, model_files, room, runners
from app.services.background import Background
from app.services.engine_loop import EngineLoop
from app.services.gate import ComputeGate
from app.services.loaded_model import LoadedModel, Loader
from app.services.loading import Loading, is_dead, is_idle, is_loaded, retire
from app.services.metrics import Metrics
from app.services.model_files import Place, Weights
from app.services.model_info import State
from app.services.model_refusals import RETRY_AFTER_S, refusal_of, still_loading
from app.services.runners import DeviceFull
from app.services.storage import MODEL_NAME, Storage
from app.services.tokenizers import Tokenizers

if TYPE_CHECKING:
    from app.llm.engine.runner import Runner
    from app.llm.model.stored import StoredNetwork
    from app.llm.model.transformer import Transformer

log = get_logger(__name__)

LOOK_AGAIN_S = 2.0
"""For so long a model in memory is used before its name is looked up again: other servers may have changed it."""

LET_GO_S = 5.0
"""So long the thread of an idle engine is given to end."""


class Models:
    """All models by name; loaded when first asked for, the least recently used idle one making room."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        tokenizers: Tokenizers,
        read: Callable[[Place, Tell], Weights] = model_files.read,
        make_runner: Callable[[Transformer | StoredNetwork, Settings, Tell], Runner] = runners.make,
        metrics: Metrics | None = None,
    ) -> None:
        """Know the models of `database` and `storage`. Nothing is loaded yet.

        Args:
            read: how a place becomes a network; tests read from nowhere.
            make_runner: what runs a network.
            metrics: what the engines are counted by; None: by figures of its own.
        """
        self._settings, self._database, self._storage = settings, database, storage
        self.metrics = metrics or Metrics()
        self._loader = Loader(settings, database, tokenizers, read, make_runner, self.metrics)
        self._lock = threading.Lock()  # guards what follows
        self._in_memory: OrderedDict[str, Loading] = OrderedDict()  # least recently used first
        self._bytes: dict[str, int] = {}  # of each of these: what loading takes, then what is held all the time
        self._budget = settings.model_memory_bytes or memory.default_budget()
        self._default_problem: str | None = "is being loaded"
        self._background = Background()

    def get(self, name: str | None = None) -> LoadedModel:
        """The model (None: the default one), loaded if need be.

        Raises:
            ModelNotFound, CheckpointNotFound: there is none of that name.
            DataMissing: there is, but its files are gone or damaged.
            NotReady: it takes longer to load than `model_wait_s`, or all places in memory are at work.
        """
        loading = self._loading(name)
        try:
            return loading.result(self._settings.model_wait_s)
        except TimeoutError:
            raise still_loading(name, loading.progress) from None

    async def wait_for(self, name: str | None = None, asked_by: Owner | None = None) -> LoadedModel:
        """As `get`, without holding a thread while the model is being loaded.

        Args:
            asked_by: who sees no other key's; None sees all. `Runtime.model` is for requests.
        """
        loading = await asyncio.to_thread(self._loading, name, asked_by)
        if not await loading.ends_within(self._settings.model_wait_s):
            raise still_loading(name, loading.progress)
        return loading.result()

    def unload(self, name: str) -> None:
        """Take a model out of memory; one that is not in it is no error.

        Raises:
            Conflict: it is at work, or is being loaded.
        """
        with self._lock:
            held = self._in_memory.get(name)
            if held is None or is_dead(held):
                return retire(self._drop(name))
            if not is_idle(held):
                doing = "is at work" if held.done() else "is being loaded"
                raise Conflict(f"name: {name} {doing}; try again when it is idle", param="name")
            self._let_go(name)
        del held  # the last reference but for those of requests that ended a moment ago
        memory.collect()

    def forget(self, name: str) -> None:
        """Let go of a model that was deleted; a request that uses it still may end."""
        with self._lock:
            retire(self._drop(name))

    def preload(self, name: str) -> None:
        """Begin to load in the background; never raises, never waits."""
        self._background.begin(f"preload {name}", self._preload, name)

    @property
    def default_problem(self) -> str | None:
        """Why the default model cannot be used now; None if it can."""
        progress = self.progress(self._settings.default_model)
        with self._lock:
            return self._default_problem and self._default_problem + (f" ({progress})" if progress else "")

    def progress(self, name: str) -> Progress | None:
        """How far the loading of a model has come; None where it is not being loaded."""
        with self._lock:
            loading = self._in_memory.get(name)
        return None if loading is None or loading.done() else loading.progress

    def state(self, name: str) -> State:
        """Whether a model, or a checkpoint, is in memory."""
        with self._lock:
            loading = self._in_memory.get(name)
        if loading is None or is_dead(loading):
            return "unloaded"
        return "loaded" if loading.done() else "loading"

    def held_bytes(self, name: str) -> int:
        """What the budget counts for a model: 0 where it is not in memory."""
        with self._lock:
            return room.sizes(self._in_memory, self._bytes).get(name, 0)

    @property
    def cpu_gate(self) -> ComputeGate:
        """What computes on the CPU beside the engines passes it, where they compute there, too."""
        return self._loader.gate_of_cpu

    def loops(self) -> dict[str, EngineLoop]:
        """The engines of the models in memory, by name; adapters have none of their own."""
        with self._lock:
            return room.engines(self._in_memory)

    def close(self) -> None:
        """Stop all engines; streams that are open end as aborted. What is being loaded has a while to be read."""
        with self._lock:
            held, self._in_memory = self._in_memory, OrderedDict()
            self._bytes.clear()
        for loading in filter(is_loaded, held.values()):
            loading.result().close()
        self._background.close()

    def _loading(self, name: str | None, asked_by: Owner | None = None) -> Loading:
        """The model's place in memory, taken now if it has none; its loading may be under way."""
        name, who = self._settings.default_model if name is None else name, seen_by(asked_by)
        found = self._recall(name)
        if found is not None and found.was_seen(who, LOOK_AGAIN_S):
            return found
        try:
            with self._database.of(asked_by).read() as session:  # given back before the long work
                place = model_files.find(session, self._storage, name)
        except ModelNotFound:
            with self._database.read() as session:
                # Another server deleted it, unless it is there and hidden. No database is asked for what is no name.
                if not (MODEL_NAME.fullmatch(name) and model_table.is_taken(session, name)):
                    self.forget(name)
            raise
        except (*UNAVAILABLE, DataMissing) as error:  # neither keeps one in memory from writing for those who saw it
            if found is None or not (isinstance(error, DataMissing) or found.was_seen(who)):
                raise
            return found
        with self._lock:
            found = self._in_memory.get(place.name)
            if found is not None and not is_dead(found) and found.version == place.version:
                found.note(who)
                self._in_memory.move_to_end(place.name)
                return found
            # With its adapters; where it is not there, one may be waiting for it.
            retire(self._drop(place.name) if found is not None else None)
            self._make_room(place)
            loading = self._in_memory[place.name] = Loading(place.version, who, place.base_name)
            self._bytes[place.name] = place.memory_bytes
        self._background.begin(f"load {place.name}", self._load, place, loading)
        return loading

    def _recall(self, name: str) -> Loading | None:
        with self._lock:
            found = self._in_memory.get(name)
            if found is None or is_dead(found):
                return None
            self._in_memory.move_to_end(name)
            if found.base is not None and found.base in self._in_memory:
                self._in_memory.move_to_end(found.base)
            return found

    def _make_room_to_read(self, place: Place, loading: Loading) -> None:
        """Count the float32 weights of a model that are about to be read again, and make room for them.

        Raises:
            NotReady: what is in the way is at work.
        """
        with self._lock:
            if self._in_memory.get(place.name) is loading:  # else it was let go of, and is no longer counted
                self._make_room(place)
                loading.result().network.read_back_bytes = place.memory_bytes

    def _make_room(self, wanted: Place) -> None:
        """Let go of what is idle until the float32 weights of `wanted` fit beside all other models. The lock is held.

        What was read again for `/inspect` goes first, then whole models, the least recently used before the others.

        Raises:
            TooLarge: it would not fit if there were no other.
            NotReady: what is in the way is at work.
        """
        room.check(wanted, self._budget)
        if self._in_the_way(wanted, []) is None:
            return
        for held in filter(is_loaded, self._in_memory.values()):
            held.result().network.let_go()
        idle = room.idle_beside(wanted, self._in_memory)
        for count in range(len(idle) + 1):  # none goes unless there is room once the last of them has gone
            if (in_the_way := self._in_the_way(wanted, idle[:count])) is None:
                for name in idle[:count]:
                    self._let_go(name)
                return
        raise NotReady(f"{in_the_way}; try again", param="model", retry_after_s=RETRY_AFTER_S)

    def _in_the_way(self, wanted: Place, without: list[str]) -> str | None:
        """Which limit keeps `wanted` out once the models `without` are gone; None where it fits."""
        gone, places = {*without, wanted.name}, self._settings.loaded_models
        sizes = room.sizes(self._in_memory, self._bytes)
        return room.in_the_way(wanted, self._in_memory, sizes, gone, places, self._budget)

    def _let_go(self, name: str) -> None:
        log.info("model_unloaded", model=name)
        retire(self._drop(name))

    def _drop(self, name: str) -> Loading | None:
        """Forget a model, and the adapters beside it, whose engine is the model's. The lock is held."""
        for adapter in [each for each, held in self._in_memory.items() if held.base == name]:
            retire(self._drop(adapter))
        self._bytes.pop(name, None)
        return self._in_memory.pop(name, None)

    def _load(self, place: Place, loading: Loading) -> None:
        try:
            model = self._loaded(place, loading)
        except Exception as error:
            refusal = refusal_of(place, error)
            with self._lock:
                if self._in_memory.get(place.name) is loading:
                    self._drop(place.name)
                self._note_default(place.name, str(refusal))
            log.error("model_not_loaded", model=place.name, exc_info=error)
            loading.set_exception(refusal)
        else:
            with self._lock:
                is_kept = room.is_kept(place.name, loading, model, self._in_memory)
                if is_kept:
                    self._bytes[place.name] = model.weight_bytes
                    self._note_default(place.name, None)
                elif self._in_memory.get(place.name) is loading:
                    self._drop(place.name)
                loading.set_result(model)  # at once: who notes a problem in between would never hear that it is over
                if not is_kept:  # dropped while it was being loaded; those who waited may still use it
                    model.retire()
            log.info("model_loaded", model=place.name)
            memory.give_back()  # what only the packing needed

    def _loaded(self, place: Place, loading: Loading) -> LoadedModel:
        """The model; where its device is full, idle ones make room, as nothing counts a device's memory beforehand."""
        if place.base is not None:
            model = self.get(place.base.name)  # loaded first
            return self._loader.load_adapter(place, model, lambda whole: self._make_room_to_read(whole, loading))
        while True:
            try:
                return self._loader.load(
                    place,
                    loading.tell,
                    lambda: self._load_again(place.name),
                    lambda: self._make_room_to_read(place, loading),
                )
            except DeviceFull as error:
                if not self._let_idle_go():
                    if self.loops():  # which are at work
                        error.retry_after_s = RETRY_AFTER_S
                    raise

    def _let_idle_go(self) -> bool:
        """Take all idle models out of memory; whether there were any."""
        with self._lock:
            idle = {name: held.result() for name, held in self._in_memory.items() if is_idle(held)}
            for name in idle:
                self._let_go(name)
        if not idle:
            return False
        while idle:
            idle.popitem()[1].loop.wait(LET_GO_S)  # its thread holds the engine
        memory.collect()
        return True

    def _load_again(self, name: str) -> None:
        with self._lock:
            self._note_default(name, "its engine stopped; it is being loaded again")
        self.preload(name)

    def _preload(self, name: str) -> None:
        problem = None
        try:
            if not is_loaded(self._loading(name)):
                return  # whoever reads it says how that ends; of one that is there already, nobody does any more
        except AppError as error:
            log.warning("model_not_preloaded", model=name, error=error.message)
            problem = error.message
        with self._lock:
            self._note_default(name, problem)

    def _note_default(self, name: str, problem: str | None) -> None:
        if name == self._settings.default_model:
            self._default_problem = problem
