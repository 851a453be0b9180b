"""Each check against the condition it is for: a folder that is none, a database that is away, a port that is taken."""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from starlette.responses import JSONResponse

from app.config import Settings
from app.db.migrate import migrate
from app.db.session import Database
from app.llm.config import PRESETS, ModelConfig
from app.llm.engine import packed_probe
from app.llm.kernels import build
from app.llm.model.transformer import Transformer
from app.services import doctor, machine
from tests.fakes import ByteTokenizer, eventually, scripted_runtime
from tests.plain_openai import PlainOpenAI
from tests.serving import app_of, served


def changed(settings: Settings, **fields: object) -> Settings:
    return settings.model_copy(update=fields)


@pytest.fixture
def bare(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine with neither kernels, compiler nor assets."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return changed(settings, assets_dir=tmp_path / "assets")


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_machine_with_everything_has_no_problem(
    settings: Settings, assets: Path, kernels: Path, taken: socket.socket
) -> None:
    port = taken.getsockname()[1]
    taken.close()
    checks = doctor.examine(changed(settings, assets_dir=assets, port=port))
    assert [check.name for check in checks if check.status == "problem"] == []
    assert len({check.name for check in checks}) == len(checks) == len(doctor.CHECKS)
    assert all(check.told and (check.mend or check.status == "ok") for check in checks)


def test_it_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    doctor.examine(settings)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_setting(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INKLING_PROT", "9000")
    Path(".env").write_text("INKLING_THREADS=1\nINKLING_WHATEVER_ELSE=1\n")
    found = doctor.check_settings(settings)
    assert found.status == "warning"
    assert "INKLING_PROT (is INKLING_PORT meant?)" in found.told
    assert "INKLING_WHATEVER_ELSE" in found.told
    assert "INKLING_THREADS" not in found.told


def test_versions(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor.check_python(settings)
    assert found.status == "ok"
    assert torch.__version__ in found.told
    monkeypatch.setattr(doctor, "version", lambda _: "2.9.1+cpu")
    assert doctor.check_python(settings).status == "problem"


def test_what_is_installed_on_request(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.extras, "lm_eval_version", lambda: "0.4.13")
    found = doctor.check_python(settings)
    assert (found.told.endswith(", lm-eval 0.4.13"), found.mend) == (True, "")
    monkeypatch.setattr(doctor.extras, "lm_eval_version", lambda: None)
    found = doctor.check_python(settings)
    assert (found.status, "no lm-eval" in found.told) == ("ok", True)
    assert "'.[eval]'" in found.mend


def test_the_others_are_told_though_torch_cannot_be_imported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = {check.name: check for check in doctor.examine(settings)}
    assert len(found) == len(doctor.CHECKS)
    assert found["device"].status == "problem"
    assert "run `make install`" in found["device"].mend
    assert "ModuleNotFoundError" in found["device"].told
    assert found["database"].status == "ok"


def test_a_machine_without_torch_can_be_examined() -> None:
    """Nothing that the module itself imports needs torch."""
    looking = "import sys; sys.modules['torch'] = None; import app.services.doctor"
    subprocess.run([sys.executable, "-c", looking], check=True, timeout=60)


def test_without_a_compiler_pytorch_generates(bare: Settings) -> None:
    found = doctor.check_kernels(bare)
    assert (found.status, found.mend) == ("warning", "install g++, then run `make assets`")
    assert "PyTorch generates" in found.told
    formats = doctor.check_formats(bare)
    assert formats.status == "ok"
    assert "float32, bfloat16, int8, int4 by PyTorch" in formats.told


def test_with_a_compiler_they_are_still_to_be_made(bare: Settings, tmp_path: Path) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    found = doctor.check_kernels(bare)
    assert found.status == "warning"
    assert "not compiled yet" in found.told


def test_kernels_that_cannot_be_loaded(bare: Settings) -> None:
    library = build.compiled_path(bare.kernel_dirs[1])
    library.parent.mkdir(parents=True)
    library.write_bytes(b"nothing")
    found = doctor.check_kernels(bare)
    assert found.status == "warning"
    assert "cannot be loaded" in found.told


def test_a_format_that_was_named_and_that_nothing_serves(bare: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real = packed_probe.probe
    missing = packed_probe.NotFound("no such operator")
    monkeypatch.setattr(packed_probe, "probe", lambda dtype: missing if dtype == "int4" else real(dtype))
    assert doctor.check_formats(changed(bare, dtype="int4")).status == "problem"
    found = doctor.check_formats(bare)
    assert found.status == "warning"
    assert "no int4: no such operator" in found.told


def test_a_device_that_is_not_there(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert doctor.check_device(settings).status == "ok"
    found = doctor.check_device(changed(settings, device="cuda"))
    assert found.status == "problem"
    assert "INKLING_DEVICE is cuda" in found.told


def test_formats_of_a_gpu(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    auto = changed(settings, device="auto")
    assert doctor.check_device(auto).told == "INKLING_DEVICE is auto; a GPU generates"
    assert doctor.check_formats(auto).told == "INKLING_DTYPE is auto; float32, bfloat16 on CUDA"
    assert doctor.check_formats(changed(auto, dtype="int4")).status == "problem"
    assert "CUDA" not in doctor.check_formats(settings).told


def test_assets_that_are_missing_or_damaged(bare: Settings, assets: Path) -> None:
    found = doctor.check_assets(bare)
    assert (found.status, found.mend) == ("problem", "run `make assets`; it needs a network")
    assert "SmolLM2-135M-Instruct.Q4_1.gguf" in found.told
    whole = bare.assets_dir
    (whole / "tiktoken").mkdir(parents=True)
    (whole / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(assets / "SmolLM2-135M-Instruct.Q4_1.gguf")
    for file in (assets / "tiktoken").iterdir():
        (whole / "tiktoken" / file.name).write_bytes(file.read_bytes())
    assert doctor.check_assets(bare).status == "ok"
    damaged = sorted((whole / "tiktoken").iterdir())[0]
    damaged.write_bytes(b"?")
    assert damaged.name in doctor.check_assets(bare).told


def test_a_folder_that_cannot_be_written(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for data_dir in (tmp_path / "file" / "data", Path("/proc/inkling")):
        found = doctor.check_data_dir(changed(settings, data_dir=data_dir))
        assert found.status == "problem"
        assert "cannot be written" in found.told


@pytest.mark.parametrize(("free", "status"), [(1 << 20, "problem"), (1 << 30, "warning"), (1 << 40, "ok")])
def test_room_on_the_disk(free: int, status: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = doctor.shutil.disk_usage("/")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=free))
    assert doctor.check_data_dir(settings).status == status


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "cannot be used"),
        ("oracle://somewhere", "cannot be used"),
        ("postgresql+psycopg://inkling:secret@127.0.0.1:1/none", "does not answer"),
        ("sqlite:////proc", "does not answer"),
    ],
)
def test_a_database_that_is_away(url: str, told: str, settings: Settings) -> None:
    found = doctor.check_database(changed(settings, database_url=url))
    assert found.status == "problem"
    assert told in found.told
    assert "secret" not in found.told


def test_a_file_that_is_no_database(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "inkling.db").write_text("nothing of the kind, but long enough to be looked at" * 40)
    assert doctor.check_database(settings).status == "problem"


def test_a_database_before_within_and_after_its_migrations(settings: Settings) -> None:
    assert "is made at the first start" in doctor.check_database(settings).told
    path = settings.data_dir / "inkling.db"
    settings.data_dir.mkdir()
    sqlite3.connect(path).close()
    assert "brings its tables up to date" in doctor.check_database(settings).told
    made = Database(settings.effective_database_url)
    migrate(made)
    made.dispose()
    assert "is up to date" in doctor.check_database(settings).told
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    found = doctor.check_database(settings)
    assert (found.status, found.mend) == ("problem", "upgrade Inkling")


def test_a_broker_is_asked_only_where_there_is_one(settings: Settings) -> None:
    assert doctor.check_broker(settings).status == "ok"
    found = doctor.check_broker(changed(settings, broker_url="redis://:secret@127.0.0.1:1/0"))
    assert found.status == "problem"
    assert "does not answer" in found.told
    assert "secret" not in found.told
    assert doctor.check_broker(changed(settings, broker_url="pigeon://roof")).status == "problem"


def test_the_server_that_generates_is_asked(settings: Settings) -> None:
    assert doctor.check_backend(settings).status == "ok"
    plain = PlainOpenAI()
    with served(plain.app) as port:
        there = changed(settings, generation_backend=f"http://127.0.0.1:{port}", generation_api_key="a secret")
        found = doctor.check_backend(there)
        assert (found.status, found.told) == ("ok", f"http://127.0.0.1:{port}/v1 answers")
    found = doctor.check_backend(there)
    assert (found.status, "INKLING_GENERATION_BACKEND" in found.mend) == ("problem", True)
    assert "secret" not in found.told + found.mend


def test_a_server_that_does_not_take_our_key(settings: Settings) -> None:
    plain = PlainOpenAI()
    plain.says("/v1/models", JSONResponse({"error": {"message": "no"}}, 401))
    with served(plain.app) as port:
        found = doctor.check_backend(changed(settings, generation_backend=f"http://127.0.0.1:{port}"))
    assert found.status == "problem"
    assert "INKLING_GENERATION_API_KEY" in found.told


def test_what_generates_elsewhere_needs_no_model_here(bare: Settings, assets: Path) -> None:
    front = changed(bare, generation_backend="http://127.0.0.1:9", model_memory_bytes=1 << 20)
    (front.assets_dir / "tiktoken").mkdir(parents=True)
    for file in (assets / "tiktoken").iterdir():
        (front.assets_dir / "tiktoken" / file.name).write_bytes(file.read_bytes())
    assert doctor.check_assets(front).status == doctor.check_memory(front).status == "warning"
    alone = changed(front, generation_backend="local")
    assert doctor.check_assets(alone).status == doctor.check_memory(alone).status == "problem"


def test_more_threads_than_cores(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert doctor.check_threads(changed(settings, threads=1)).status == "ok"
    assert re.match("set INKLING_THREADS=\\d+", doctor.check_threads(changed(settings, threads=999)).mend)


def test_cores_that_others_keep_busy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (0.0, 500.0, 0.0))
    assert doctor.check_threads(changed(settings, threads=2)).status == "warning"
    assert doctor.check_threads(changed(settings, threads=1)).status == "ok"


def test_memory_beside_what_the_machine_has(settings: Settings) -> None:
    assert doctor.check_memory(settings).status == "ok"
    assert doctor.check_memory(changed(settings, model_memory_bytes=2 * machine.memory_bytes())).status == "warning"
    found = doctor.check_memory(changed(settings, model_memory_bytes=1 << 20))
    assert found.status == "problem"
    assert "smollm2-135m-instruct needs 0.5 GiB" in found.told


def test_a_port_that_another_program_has(settings: Settings, taken: socket.socket) -> None:
    found = doctor.check_port(changed(settings, port=taken.getsockname()[1]))
    assert (found.status, found.mend) == ("problem", "choose another with INKLING_PORT")


def test_an_address_of_another_machine(settings: Settings) -> None:
    assert doctor.check_port(changed(settings, host="no-such-host.invalid")).status == "problem"


def test_an_inkling_that_answers(settings: Settings, database: Database) -> None:
    torch.manual_seed(0)
    network = Transformer(ModelConfig(ByteTokenizer.vocab_size, **PRESETS["gpt-tiny"])).eval()
    runtime = scripted_runtime(settings, database, lambda *_: network)
    with served(app_of(runtime)) as port:
        here = changed(settings, port=port)
        assert doctor.check_port(here).status == "warning"  # its model is not loaded
        runtime.models.preload(settings.default_model)
        eventually(lambda: doctor.check_port(here).status == "ok")
        assert f"an Inkling answers at http://127.0.0.1:{port}" in doctor.check_port(here).told
    runtime.models.close()
