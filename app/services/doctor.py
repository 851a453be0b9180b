"""What this machine lacks for the service, what that means, and how it is mended. Looks, and changes nothing.

A check is a small function of the settings; whoever asks gets all of them, whatever one finds.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx
from kombu.exceptions import OperationalError as BrokerAway
from sqlalchemy.exc import SQLAlchemyError

from app.assets import DEFAULT_MODEL_FILE, missing_assets
from app.config import MIB, Settings, unknown_settings
from app.db.migrate import revisions
from app.db.session import Database
from app.errors import NotReady
from app.llm.model.shapes import FLOAT_BYTES
from app.services import extras, machine, memory
from app.services.check import Check, Status
from app.services.model_files import BUILT_IN
from app.services.queue import Nudger, make_celery
from app.services.tracing_check import check_traces

OLDEST_TORCH = (2, 11)
LITTLE_DISK_BYTES = 2048 * MIB
NO_DISK_BYTES = 128 * MIB
ANSWER_S = 3.0
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16")
"""Those that decide how fast a network is, as Linux names them."""


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which what they look at is needed."""
    return [_looked(check, settings) for check in CHECKS]


def _looked(check: Callable[[Settings], Check], settings: Settings) -> Check:
    """What a check finds, or that it breaks: a broken library is what most are here for."""
    try:
        return check(settings)
    except Exception as error:  # noqa: BLE001 - told in its place, beside what the others find
        name = check.__name__.removeprefix("check_").removesuffix("_dir")
        told = f"cannot be looked at: {type(error).__name__}: {error}"
        return Check(name, "problem", told, "run `make install`; if that does not help, report it")


def check_settings(_: Settings) -> Check:
    """Names in the environment that look like settings and are none."""
    unknown = unknown_settings()
    if not unknown:
        return Check("settings", "ok", "no unknown INKLING_ name in the environment or in .env")
    told = ", ".join(f"{name} (is {near} meant?)" if near else name for name, near in unknown.items())
    return Check("settings", "warning", f"unknown, without effect: {told}", "correct or remove; see docs/settings.md")


def check_python(_: Settings) -> Check:
    """Versions of what everything runs on."""
    here = f"Python {platform.python_version()}"
    try:
        torch = version("torch")
    except PackageNotFoundError:
        return Check("python", "problem", f"{here}, without torch", "run `make install`")
    if tuple(int(part) for part in torch.split(".")[:2]) < OLDEST_TORCH:
        wanted = ".".join(map(str, OLDEST_TORCH))
        return Check("python", "problem", f"{here}, torch {torch}: too old", f"install torch {wanted} or newer")
    found = extras.lm_eval_version()
    told = f"lm-eval {found}" if found else "no lm-eval, which evaluations of the kind choices need"
    return Check("python", "ok", f"{here}, torch {torch}, {told}", "" if found else f"if wanted: {extras.INSTALL}")


def check_kernels(settings: Settings) -> Check:
    """Our own kernels: whether they are compiled for this processor, or could be."""
    from app.llm.kernels import build

    processor = f"processor: {' '.join(_cpu_features()) or platform.machine()}"
    made = next((path for folder in settings.kernel_dirs if (path := build.compiled_path(folder)).is_file()), None)
    if made is None:
        found = build.compiler()
        if found:
            told = f"not compiled yet for this {processor}; {found} does it when a model is first loaded"
            return Check("kernels", "warning", told, "run `make assets` to have it done now")
        told = f"none, and no C++ compiler; PyTorch generates, more slowly ({processor})"
        return Check("kernels", "warning", told, "install g++, then run `make assets`")
    try:
        build.load(made.parent)
    except build.NoKernels as error:
        return Check("kernels", "warning", f"{made}: {error}; PyTorch generates", "delete that file; run `make assets`")
    return Check("kernels", "ok", f"compiled, {made} ({processor})")


def check_device(settings: Settings) -> Check:
    """Where text is generated."""
    import torch

    from app.services.runners import choose_device

    asked = f"INKLING_DEVICE is {settings.device}"
    try:
        device = choose_device(settings)
    except NotReady:
        mend = "set INKLING_DEVICE=auto, or install NVIDIA's driver and a torch with CUDA"
        return Check("device", "problem", f"{asked}, and PyTorch sees no CUDA device", mend)
    return Check(
        "device", "ok", f"{asked}; {torch.cuda.get_device_name() if device == 'cuda' else 'the CPU'} generates"
    )


def check_formats(settings: Settings) -> Check:
    """The formats of weights that are served here, and by what."""
    import torch

    from app.llm.engine.device_runner import SERVED
    from app.llm.engine.packed_probe import KINDS, NotFound, probe

    asked = f"INKLING_DTYPE is {settings.dtype}"
    if settings.device != "cpu" and torch.cuda.is_available():
        if settings.dtype in ("auto", *SERVED):
            return Check("formats", "ok", f"{asked}; {', '.join(SERVED)} on CUDA")
        told = f"{asked}, which is not served on CUDA"
        return Check("formats", "problem", told, "set INKLING_DTYPE=auto, or INKLING_DEVICE=cpu")
    if check_kernels(settings).status == "ok":
        return Check("formats", "ok", f"{asked}; float32, {', '.join(KINDS)} by our kernels")
    tried = {dtype: probe(dtype) for dtype in KINDS}
    missing = {dtype: found.why for dtype, found in tried.items() if isinstance(found, NotFound)}
    served = ", ".join(["float32", *(dtype for dtype in tried if dtype not in missing)])
    told = "; ".join([f"{asked}; {served} by PyTorch", *(f"no {dtype}: {why}" for dtype, why in missing.items())])
    if settings.dtype in missing:
        return Check("formats", "problem", told, "set INKLING_DTYPE=auto, or install g++ and run `make assets`")
    return Check("formats", "warning" if missing else "ok", told)


def check_assets(settings: Settings) -> Check:
    """What is fetched at install: the default model, GPT-2's vocabulary."""
    missing = missing_assets(settings.assets_dir)
    if not missing:
        return Check("assets", "ok", f"whole, in {settings.assets_dir}")
    is_ours = settings.default_model in BUILT_IN and settings.remote_url is None
    needs_model = is_ours or DEFAULT_MODEL_FILE not in missing
    told = f"missing or damaged in {settings.assets_dir}: {', '.join(missing)}"
    return Check("assets", "problem" if needs_model else "warning", told, "run `make assets`; it needs a network")


def check_data_dir(settings: Settings) -> Check:
    """Whether the data directory can be written, and how much there is room for."""
    folder = next(each for each in (settings.data_dir, *settings.data_dir.parents) if each.exists())
    choose = "choose another folder with INKLING_DATA_DIR, or mend its permissions"
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("data", "problem", f"{folder} cannot be written: {error.strerror}", choose)
    told = f"{settings.data_dir} can be {'written' if folder == settings.data_dir else 'made'}; {_size(free)} free"
    if free < NO_DISK_BYTES:
        return Check("data", "problem", f"{told}: too little", "make room")
    if free < LITTLE_DISK_BYTES:
        return Check("data", "warning", f"{told}: checkpoints of a training may fill it", "make room")
    return Check("data", "ok", told)


def check_database(settings: Settings) -> Check:
    """Whether the database answers, and whether its tables are ours."""
    mend = "correct INKLING_DATABASE_URL, or start the database"
    try:
        database = Database(settings.effective_database_url)
    except (SQLAlchemyError, ImportError) as error:  # ImportError: the driver it names is not installed
        return Check("database", "problem", f"INKLING_DATABASE_URL cannot be used: {error}", mend)
    told = database.url.render_as_string(hide_password=True)
    try:
        path = database.url.database
        if database.is_sqlite and path and path != ":memory:" and not Path(path).exists():
            return Check("database", "ok", f"{told} is made at the first start")  # looking would make it
        current, known = revisions(database)
    except SQLAlchemyError as error:
        return Check("database", "problem", f"{told} does not answer: {getattr(error, 'orig', error)}", mend)
    finally:
        database.dispose()
    if current is not None and current not in known:
        return Check("database", "problem", f"{told} was written by a newer Inkling ({current})", "upgrade Inkling")
    if current == known[0]:
        return Check("database", "ok", f"{told} answers and is up to date")
    return Check("database", "ok", f"{told} answers; the next start brings its tables up to date")


def check_broker(settings: Settings) -> Check:
    """Whether the broker answers, where there is one."""
    if not settings.broker_url:
        return Check("broker", "ok", "none; jobs are queued in the data directory")
    mend = "correct INKLING_BROKER_URL, or start the broker"
    celery = make_celery(settings)
    try:
        told: str = celery.connection_for_write().as_uri()  # without the password
        Nudger(celery).check()
    except (BrokerAway, OSError) as error:
        return Check("broker", "problem", f"{told} does not answer: {error}", mend)
    except (KeyError, ValueError) as error:  # kombu knows no such transport, or the address is none
        return Check("broker", "problem", f"INKLING_BROKER_URL cannot be used: {error}", mend)
    return Check("broker", "ok", f"{told} answers")


def check_backend(settings: Settings) -> Check:
    """Whether the server that generates in place of this one answers, where there is one, and takes our key."""
    from app.services.runtime import remote_of  # late: without torch it cannot be had

    remote = remote_of(settings)
    if remote is None:
        return Check("backend", "ok", "none; this server generates")

    async def ask() -> str | None:
        try:
            return await remote.problem()
        finally:
            await remote.close()

    if problem := asyncio.run(ask()):
        mend = "correct INKLING_GENERATION_BACKEND or INKLING_GENERATION_API_KEY, or start that server"
        return Check("backend", "problem", f"INKLING_GENERATION_BACKEND cannot be used: {problem}", mend)
    return Check("backend", "ok", f"{settings.remote_url} answers")


def check_threads(settings: Settings) -> Check:
    """Threads beside cores, and how busy others keep them."""
    cores, load = machine.cores(), os.getloadavg()[1]
    threads = settings.threads or cores
    told = f"{threads} threads, {cores} cores, load {load:.1f}"
    if threads > cores:
        return Check("threads", "warning", f"{told}: threads wait for each other", f"set INKLING_THREADS={cores}")
    if threads > 1 and load > cores:
        return Check("threads", "warning", f"{told}: others keep the cores busy", "set INKLING_THREADS to fewer")
    return Check("threads", "ok", told)


def check_memory(settings: Settings) -> Check:
    """What models may take, beside what this process may take and the default model needs."""
    budget, all_of_it = settings.model_memory_bytes or memory.default_budget(), machine.memory_bytes()
    told = f"{_size(budget)} for models, of {_size(all_of_it)}"
    shipped = BUILT_IN.get(settings.default_model)
    if shipped and budget < shipped.parameters * FLOAT_BYTES:
        told = f"{told}: {shipped.name} needs {_size(shipped.parameters * FLOAT_BYTES)}"
        status: Status = "problem" if settings.remote_url is None else "warning"
        return Check("memory", status, told, "raise INKLING_MODEL_MEMORY_BYTES, or take a machine with more memory")
    if budget > all_of_it:
        return Check("memory", "warning", f"{told}: more than there is", "lower INKLING_MODEL_MEMORY_BYTES")
    return Check("memory", "ok", told)


def check_port(settings: Settings) -> Check:
    """Whether the port is free, or who has it."""
    told, mend = f"{settings.host} port {settings.port}", "choose another with INKLING_PORT"
    try:
        family, *_, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except socket.gaierror as error:
        return Check("port", "problem", f"{settings.host} is no address here: {error.strerror}", "set INKLING_HOST")
    except OSError as error:
        ready = _ready(settings.own_url)
        if ready is None:
            return Check("port", "problem", f"{told}: {error.strerror}", mend)
        return Check("port", "ok" if ready else "warning", f"an Inkling answers at {settings.own_url}", _unready(ready))
    return Check("port", "ok", f"{told} is free")


CHECKS: tuple[Callable[[Settings], Check], ...] = (
    check_settings,
    check_python,
    check_kernels,
    check_device,
    check_formats,
    check_assets,
    check_data_dir,
    check_database,
    check_broker,
    check_backend,
    check_traces,
    check_threads,
    check_memory,
    check_port,
)


def _ready(url: str) -> bool | None:
    """What an Inkling at `url` says of itself; None: it is none."""
    try:
        said = httpx.get(f"{url}/readyz", timeout=ANSWER_S, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return None
    return bool(said["ready"]) if isinstance(said, dict) and {"ready", "parts"} <= said.keys() else None


def _unready(ready: bool) -> str:
    return "" if ready else "it is not ready; GET /readyz says why"


def _cpu_features() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return []
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    return [name for name in CPU_FEATURES if name in flags]


def _size(count: int) -> str:
    return f"{count / (1024 * MIB):.1f} GiB"
