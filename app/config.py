"""Settings: the only reader of the environment. Each field is `INKLING_<FIELD>` and stands in docs/settings.md."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app import setting_forms
from app.setting_forms import EVERY, LOCAL

MIB = 1024 * 1024
MAX_DEVICES = 64  # of one job
EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - to be told apart, not to be bound


class BadSetting(ValueError):
    """A setting cannot be read; the message names it."""


SECRETS = ("api_key", "generation_api_key")
"""Settings whose values no message and no log may show."""


Limit = Annotated[Annotated[int, Field(ge=0)] | Literal["auto"], BeforeValidator(setting_forms.lowered)]


class Settings(BaseSettings):
    """What a person may choose about a running Inkling. Read once, where a process starts."""

    model_config = SettingsConfigDict(
        env_prefix="INKLING_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    url: str = ""
    """The server that the `inkling` commands call. Empty: the one that `host` and `port` start on this machine."""

    require_keys: Annotated[Literal["auto", "true", "false"], BeforeValidator(setting_forms.lowered)] = "auto"
    """Whether a request needs a key. `auto`: unless `host` is this machine alone."""
    api_key: Annotated[str, AfterValidator(setting_forms.header_value)] = Field("", repr=False)
    """The key that the `inkling` commands send. Never logged."""

    audit_days: int = Field(90, ge=0, le=36_500)
    """How long the audit log keeps who did what. 0: nothing is written down."""

    allowed_hosts: Annotated[str, setting_forms.each(r"\*|(\*\.)?[A-Za-z0-9._-]+", "a name, *.name or *")] = ""
    """By which names the server is called beside its own, with commas. Addresses are always taken. `*`: by any."""
    allowed_origins: Annotated[
        str, setting_forms.each(r"\*|[a-z][a-z0-9+.-]*://[^\s/,*]+", "an origin like https://host:port")
    ] = ""
    """Whose pages may call the server from a browser, with commas. `*`: anybody's, where keys are required."""
    trusted_proxies: Annotated[str, AfterValidator(setting_forms.proxies)] = "127.0.0.1,::1"
    """Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed. `none`: nobody's."""

    limit_requests: Limit = "auto"
    """Requests a minute of one key, or of one address where no key is asked for. 0: any number."""
    limit_tokens: Limit = "auto"
    """Tokens a minute, of prompts and of what is written."""
    limit_streams: Limit = "auto"
    """Answers that may be written at once."""
    limit_wrong_keys: Limit = "auto"
    """Wrong keys a minute from one address, before none of it is looked at that was not right before. 0: any number."""
    limit_jobs: Limit = "auto"
    """Jobs of one key that may run or wait at a time."""
    limit_stored_bytes: Limit = "auto"
    """Of one key's datasets, models and checkpoints together."""

    data_dir: Annotated[Path, AfterValidator(Path.absolute)] = Path("data")
    """Everything that is written: database, datasets, models, checkpoints, the embedded queue."""
    assets_dir: Annotated[Path, AfterValidator(Path.absolute)] = Path(sys.prefix) / "share" / "inkling"
    """What is fetched at install and only read afterwards: the default model, tiktoken's files."""

    database_url: str = ""
    """Empty: SQLite in the data directory. Else `postgresql://…`."""
    broker_url: str = ""
    """Empty: Celery's filesystem transport in the data directory. Else `redis://…`."""

    default_model: str = "smollm2-135m-instruct"
    default_tokenizer: str = "gpt2"

    generation_backend: Annotated[str, AfterValidator(setting_forms.backend)] = LOCAL
    """`local`, or the address of an OpenAI-compatible server that generates in place of this process."""
    generation_api_key: Annotated[str, AfterValidator(setting_forms.header_value)] = Field("", repr=False)
    """Sent to that server as a bearer token. Never logged."""

    max_text_bytes: int = Field(MIB, ge=1)
    max_upload_bytes: int = Field(512 * MIB, ge=1)
    inspect_max_bytes: int = Field(64 * MIB, ge=1)
    """Of the float32 numbers that one `/inspect` may ask for."""
    max_model_upload_bytes: int = Field(4096 * MIB, ge=1)
    """All files of one imported model together."""
    import_dir: str = ""
    """The folder whose content `POST /models` may name. Empty: `import` in the data directory."""
    hub_url: str = "https://huggingface.co"
    """The public hub that models are pulled from when asked."""
    fetch_private_addresses: bool = False
    """Whether the hub, and a mirror of public sets, may be servers of private networks and of this machine."""
    fetch_proxy: Annotated[str, AfterValidator(setting_forms.proxy)] = Field("", repr=False)
    """The proxy that models and public sets are fetched through, `http://host:port`. Empty: none. Never logged."""
    max_branches: int = Field(10_000, ge=0)
    """Generated texts that may be kept."""
    max_branches_bytes: int = Field(512 * MIB, ge=0)
    """Of the tokens and prompts of all of them together."""
    max_queued_requests: int = Field(256, ge=1)
    kv_cache_tokens: int = Field(16_384, ge=1)
    """Tokens that all running requests of one model may hold in its key–value cache."""
    loaded_models: int = Field(2, ge=1)
    """Models kept in memory at once; the least recently used one makes room."""
    model_memory_bytes: int = Field(0, ge=0)
    """What the weights of all models in memory may take together; 0: three quarters of what this process may take."""
    model_wait_s: float = Field(60.0, ge=0)
    """How long a request waits for a model that is being loaded before it gets a 503."""

    request_timeout_s: float = Field(600.0, gt=0)
    """After so long a generation ends with what it has written."""
    drain_s: float = Field(30.0, ge=0)
    """How long a server that is told to end waits for generations to finish."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where text is generated. `auto`: on the GPU where PyTorch sees one. Jobs name their own device."""
    dtype: Literal["auto", "float32", "bfloat16", "int8", "int4"] = "auto"
    """How weights lie in memory while text is generated. `auto`: 4 bits where they came in 4 bits, 8 for other large
    networks, float32 for small ones; on a GPU bfloat16 in place of 4 and 8 bits."""
    threads: int = Field(0, ge=0)
    """Threads for generation; 0: one for each core that this process may use."""
    train_threads: int = Field(0, ge=0)
    """Threads for a training job; 0: as many as there are cores."""
    worker_devices: Literal["auto", "cpu", "cuda"] = "auto"
    """What a worker trains on; `auto`: all that torch finds. Jobs that ask for another device are left to others."""
    cpu_devices: int = Field(1, ge=1, le=MAX_DEVICES)
    """Processes that a worker may train one job with on the CPU: what `devices` of such a job goes up to."""
    train_hosts: int = Field(1, ge=1, le=MAX_DEVICES)
    """Machines that train one job together. Each has as many devices as the first."""
    node_rank: int = Field(0, ge=0)
    """Which of them this is; 0 claims the jobs, a worker of the others follows it."""
    rendezvous: Annotated[str, AfterValidator(setting_forms.meeting_place)] = ""
    """Where the first of them listens for the others while they train, `host:port`. Nobody else may reach it."""
    lease_s: float = Field(30.0, ge=1)
    """A running job whose worker was silent for this long is taken back."""
    job_attempts: int = Field(3, ge=1)
    """Attempts in a row without progress after which a job fails."""
    webhook_private_addresses: bool = False
    """Whether webhooks of jobs may go to private networks and to this machine."""
    judge_private_addresses: bool = False
    """Whether the judges of evaluations may be servers of private networks and of this machine."""

    otlp_endpoint: Annotated[str, AfterValidator(setting_forms.collector)] = ""
    """Where traces are sent by OTLP over HTTP, `http://collector:4318`. Empty: none are made."""

    log_level: str = Field("info", pattern="(?i)^(debug|info|warning|error)$")
    log_format: str = Field("console", pattern="^(console|json)$")

    @model_validator(mode="after")
    def _hosts_fit(self) -> Settings:
        if self.train_hosts > 1 and not self.rendezvous:
            raise ValueError("INKLING_TRAIN_HOSTS says several; they need INKLING_RENDEZVOUS, host:port of the first")
        if self.node_rank >= self.train_hosts:
            raise ValueError("INKLING_NODE_RANK counts from 0 and stays below INKLING_TRAIN_HOSTS")
        return self

    @model_validator(mode="after")
    def _origins_fit(self) -> Settings:
        if EVERY in self.origins and not self.keys_required:
            raise ValueError("INKLING_ALLOWED_ORIGINS=* would let every site call a server that needs no key")
        return self

    @property
    def allowed_host_names(self) -> tuple[str, ...]:
        return setting_forms.listed(self.allowed_hosts.lower())

    @property
    def origins(self) -> tuple[str, ...]:
        return setting_forms.listed(self.allowed_origins.lower())

    @property
    def own_url(self) -> str:
        """Where this machine reaches the server that these settings start."""
        host = "127.0.0.1" if self.host in EVERY_ADDRESS else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def keys_required(self) -> bool:
        if self.require_keys == "auto":
            return not _is_loopback(self.host)
        return self.require_keys == "true"

    @property
    def effective_url(self) -> str:
        return self.url or self.own_url

    @property
    def remote_url(self) -> str | None:
        """Where the routes of the server that generates begin, as `http://host:8000/v1`; None: this process does."""
        if self.generation_backend == LOCAL:
            return None
        address = self.generation_backend.rstrip("/")
        return address if urlsplit(address).path else f"{address}/v1"

    @property
    def traces_url(self) -> str | None:
        """Where spans are posted; None: nowhere."""
        if not self.otlp_endpoint:
            return None
        address = self.otlp_endpoint.rstrip("/")
        return address if address.endswith("/v1/traces") else f"{address}/v1/traces"

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'inkling.db'}"

    @property
    def kernel_dirs(self) -> tuple[Path, Path]:
        """Where built kernels may lie: beside the assets, and where those cannot be written."""
        return self.assets_dir / "kernels", self.data_dir / "kernels"

    @property
    def effective_import_dir(self) -> Path:
        return Path(self.import_dir).absolute() if self.import_dir else self.data_dir / "import"

    @property
    def effective_broker_url(self) -> str:
        return self.broker_url or "filesystem://localhost"


def get_settings(**chosen: Any) -> Settings:
    """Read the environment (and `.env` in the working directory); `chosen` fields stand over both.

    Raises:
        BadSetting: a setting cannot be read as its type.
    """
    try:
        return Settings(**chosen)
    except ValidationError as error:
        raise BadSetting("; ".join(_told(one["loc"], one["msg"], one["input"]) for one in error.errors())) from None
    except (OSError, UnicodeError) as error:
        raise BadSetting(f"the file .env of the working directory cannot be read: {error}") from None


@dataclass(frozen=True)
class Rank:
    """Which of the processes that `torchrun` started this one is."""

    number: int  # from 0
    on_this_machine: int  # from 0
    here: int  # processes of a machine, at most


def rank_of_torchrun() -> Rank | None:
    """This process among those that train one job; None where it trains alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    number, on_this_machine, count, machines = (
        int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "GROUP_WORLD_SIZE")
    )
    return Rank(number, on_this_machine, -(-count // machines))


def unknown_settings() -> dict[str, str | None]:
    """Names in the environment and in `.env` that begin like settings and are none, each with the one it resembles."""
    known = {f"INKLING_{name.upper()}" for name in Settings.model_fields}
    names = [*os.environ, *dotenv_values(".env")]
    given = {name.upper() for name in names if name.upper().startswith("INKLING_")}
    near = {name: get_close_matches(name, known, n=1, cutoff=0.8) for name in sorted(given - known)}
    return {name: found[0] if found else None for name, found in near.items()}


def _told(place: tuple[int | str, ...], message: str, given: object) -> str:
    if not place:  # of several settings, which the message names
        return message.removeprefix("Value error, ")
    name = "_".join(str(part) for part in place)
    shown = "given" if name in SECRETS or _has_password(given) else repr(str(given))
    return f"INKLING_{name.upper()} is {shown}: {message[:1].lower()}{message[1:]}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: whom else it leads to, nobody can say
        return host == "localhost"


def _has_password(given: object) -> bool:
    return isinstance(given, str) and "://" in given and "@" in given


def export(settings: Settings) -> None:
    """Hand the settings on to the processes that this one will start."""
    for name, value in settings.model_dump(mode="json").items():
        os.environ[f"INKLING_{name.upper()}"] = str(value)
