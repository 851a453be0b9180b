"""Import, export, download over the whole application: good files, and every way in which files can lie."""

from __future__ import annotations

import gc
import io
import itertools
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file

from app.config import Settings
from app.llm.weights.gguf import load_gguf
from app.main import create_app
from tests.llm.weights.test_huggingface import load
from tests.no_assets import no_assets
from tests.weight_files import CONFIGS, TEMPLATE, VOCABULARY, a_folder, a_gguf, a_network, rewrite, rewrite_header

LIMIT = 4_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One service without any assets for all tests; uploads of at most four million bytes."""
    place = tmp_path_factory.mktemp("service")
    chosen = Settings(
        _env_file=None, data_dir=place / "data", assets_dir=no_assets(place / "no-assets"), max_model_upload_bytes=LIMIT
    )
    with TestClient(create_app(chosen), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def settings(service: TestClient) -> Settings:
    return service.app.state.runtime.settings


@pytest.fixture
def client(service: TestClient, settings: Settings) -> Iterator[TestClient]:
    """That service, without the models and files of earlier tests."""
    yield service
    for model in service.get("/models").json()["data"]:
        assert model["source"] == "builtin" or service.delete(f"/models/{model['name']}").status_code == 200
    for path in (settings.data_dir / "import").iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@pytest.fixture
def imports(settings: Settings) -> Path:
    return settings.data_dir / "import"


def words(client: TestClient, name: str) -> int:
    """Build a word tokenizer; the size of its vocabulary."""
    return client.post(
        "/tokenizers", json={"name": name, "kind": "word", "version": 2, "dataset": "the-tide-clock"}
    ).json()["vocab_size"]


def create(client: TestClient, folder: str, name: str = "tiny", **fields: Any):
    return client.post("/models", json={"name": name, "source": {"folder": folder}} | fields)


def upload(client: TestClient, paths: list[Path], name: str = "tiny", **fields: str):
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    return client.post("/models/upload", files=files, data={"name": name} | fields)


def refusal(answer) -> tuple[int, str, str | None, str]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["code"], error["param"], error["message"]


def left_behind(settings: Settings) -> list[str]:
    """What an import that was refused must not leave."""
    places = [settings.data_dir / folder for folder in ("models", "scratch", "tokenizers")]
    return [str(path) for place in places for path in place.rglob("*") if not path.name.startswith("words")]


def logits(client: TestClient, name: str) -> torch.Tensor:
    model = client.app.state.runtime.models.get(name)
    with model.network.lent() as network, torch.inference_mode():
        return network(torch.arange(20)[None])


@pytest.mark.parametrize("kind", ["folder", "gguf"])
@pytest.mark.parametrize("config", CONFIGS)
def test_a_model_is_imported_and_writes(client: TestClient, imports: Path, config: str, kind: str) -> None:
    network = a_network(CONFIGS[config])
    if kind == "folder":
        a_folder(imports / "mine", network)
        path = "mine"
    else:
        a_gguf(imports / "files" / "mine.gguf", network)
        path = "files/mine.gguf"
    answer = create(client, path, licence="cc0")
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert answer.headers["location"] == "/models/tiny"
    assert (told["source"], told["tokenizer"], told["licence"], told["chat"]) == ("import", "tiny", "cc0", True)
    assert told["parameters"] == network.parameter_count()
    assert (told["origin"]["kind"], told["origin"]["location"]) == ("folder", path)
    assert told["origin"]["format"] == ("gguf" if kind == "gguf" else "safetensors")
    assert all(len(file["sha256"]) == 64 and file["bytes"] for file in told["origin"]["files"])
    assert sum(told["bytes_by_part"].values()) == told["memory_bytes"] == 4 * told["parameters"]
    torch.testing.assert_close(logits(client, "tiny"), network(torch.arange(20)[None]), atol=1e-5, rtol=0)

    assert client.post("/encode", json={"text": "hello sea", "tokenizer": "tiny"}).json()[
        "ids"
    ] == VOCABULARY.tokenizer().encode("hello sea")
    listed = {row["name"]: row for row in client.get("/tokenizers").json()["data"]}
    assert (listed["tiny"]["kind"], listed["tiny"]["source"]) == ("bpe", "model")
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_new_tokens": 4, "temperature": 0}
    assert client.post("/generate", json=body).json()["usage"]["completion_tokens"] >= 1


def test_an_upload_of_a_folder_and_of_gguf(client: TestClient, settings: Settings, tmp_path: Path) -> None:
    network = a_network(CONFIGS["gpt2"])
    folder = a_folder(tmp_path / "up", network)
    answer = upload(client, sorted(folder.iterdir()))
    assert answer.status_code == 201, answer.text
    assert answer.json()["origin"]["kind"] == "upload"
    answer = upload(client, [a_gguf(tmp_path / "tiny.gguf", network)], "second")
    assert answer.status_code == 201, answer.text
    assert answer.json()["origin"]["location"] == "tiny.gguf"
    torch.testing.assert_close(logits(client, "tiny"), logits(client, "second"), atol=1e-6, rtol=0)
    assert not list((settings.data_dir / "scratch").iterdir())


def test_a_tokenizer_of_this_machine_may_be_named(client: TestClient, imports: Path) -> None:
    config = CONFIGS["gpt2"].to_dict() | {"vocab_size": words(client, "words-1")}
    network = a_network(type(CONFIGS["gpt2"])(**config))
    a_folder(imports / "bare", network)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (imports / "bare" / name).unlink()
    status, code, param, message = refusal(create(client, "bare"))
    assert (status, code, param) == (422, "invalid_file", "tokenizer")
    assert "tokenizer.json" in message
    assert create(client, "bare", tokenizer="words-1").status_code == 201
    assert client.get("/models/tiny").json()["tokenizer"] == "words-1"
    assert refusal(create(client, "bare", "other", tokenizer="nothing"))[:3] == (
        404,
        "tokenizer_not_found",
        "tokenizer",
    )


def test_a_vocabulary_that_does_not_fit_its_tokenizer(client, imports, settings) -> None:
    network = a_network(type(CONFIGS["gpt2"])(**CONFIGS["gpt2"].to_dict() | {"vocab_size": 300}))
    a_folder(imports / "padded", network)
    status, code, param, message = refusal(create(client, "padded"))
    assert (status, code, param) == (422, "invalid_file", "vocab_size")
    assert "300 tokens" in message
    assert "has 264" in message
    a_folder(imports / "fits", a_network(CONFIGS["gpt2"]))
    assert create(client, "fits", "fits").status_code == 201
    assert refusal(create(client, "padded", tokenizer="fits"))[:3] == (422, "invalid_value", "tokenizer")
    answer = upload(client, [a_gguf(imports / "x" / "padded.gguf", network)], "other")
    assert refusal(answer)[:2] == (422, "invalid_file")
    assert "300" in answer.json()["error"]["message"]
    assert not (settings.data_dir / "models" / "tiny").exists()


@pytest.mark.parametrize(
    ("folder", "param"),
    [
        ("../outside", "source.folder"),
        ("/etc", "source.folder"),
        ("a/../../b", "source.folder"),
        (".", "source.folder"),
        (".hidden", "source.folder"),
        ("link", "source.folder"),
        ("linked/inside", "source.folder"),
        ("with-linked-file", "source.folder"),
        ("nothing", "source.folder"),
        ("x\\y", "source.folder"),
        ("a\u0000b", "source.folder"),
        ("\ud800", "source.folder"),
        ("", "source.folder"),
        ("a" * 600, "source.folder"),
    ],
)
def test_no_path_leads_out_of_the_import_directory(client, imports, settings, tmp_path, folder, param) -> None:
    outside = a_folder(tmp_path / "outside" / "inside", a_network(CONFIGS["gpt2"]))
    (imports / "link").symlink_to(outside)
    (imports / "linked").symlink_to(tmp_path / "outside")
    a_folder(imports / "with-linked-file", a_network(CONFIGS["gpt2"]))
    (imports / "with-linked-file" / "model.safetensors").unlink()
    (imports / "with-linked-file" / "model.safetensors").symlink_to(outside / "model.safetensors")
    answer = client.post(
        "/models",
        content=json.dumps({"name": "tiny", "source": {"folder": folder}}),
        headers={"content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)
    assert left_behind(settings) == []


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"name": "a b", "source": {"folder": "m"}}, 422, "name"),
        ({"name": "../x", "source": {"folder": "m"}}, 422, "name"),
        ({"name": "", "source": {"folder": "m"}}, 422, "name"),
        ({"name": "smollm2-135m-instruct", "source": {"folder": "m"}}, 409, "name"),
        ({"name": "gpt2", "source": {"folder": "m"}}, 409, "name"),
        ({"name": "x", "source": {}}, 422, "source"),
        ({"name": "x", "source": {"folder": "m", "hub": "a/b"}}, 422, "source"),
        ({"name": "x", "source": {"folder": "m", "revision": "main"}}, 422, "source"),
        ({"name": "x", "source": "m"}, 422, "source"),
        ({"name": "x"}, 422, "source"),
        ({"name": "x", "source": {"folder": "m"}, "quantise": 4}, 422, "quantise"),
        ({"name": "x", "source": {"hub": "../../etc"}}, 422, "source.hub"),
        ({"name": "x", "source": {"hub": "a/b/c"}}, 422, "source.hub"),
        ({"name": "x", "source": {"hub": "a/b", "revision": "../../x"}}, 422, "source.revision"),
        ({"name": "x", "source": {"folder": "m"}, "licence": "x\u0000"}, 422, "licence"),
    ],
)
def test_a_body_that_cannot_be(client, imports, settings, body, status, param) -> None:
    a_folder(imports / "m", a_network(CONFIGS["gpt2"]))
    answer = client.post("/models", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert left_behind(settings) == []


def cut(name: str, length: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:length])


def configured(**values: Any) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder / "config.json", lambda config: config.update(values))


def raw(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(found, folder / "model.safetensors")

    return apply


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda folder: rewrite_header(folder / "model.safetensors", change)


WTE = "transformer.wte.weight"
BAD: dict[str, tuple[Callable[[Path], None], int, str, str]] = {
    # what is done to a good folder: status, field, a piece of the message
    "truncated weights": (cut("model.safetensors", 5000), 422, "source.folder", "not within the file's 5000"),
    "truncated header": (cut("model.safetensors", 100), 422, "source.folder", "in the midst of its header"),
    "empty weights": (cut("model.safetensors", 0), 422, "source.folder", "fewer than 8 bytes"),
    "a header of exabytes": (raw("model.safetensors", b"\xff" * 64), 422, "source.folder", "more than is read"),
    "a zip by the name of safetensors": (
        raw("model.safetensors", b"PK\x03\x04" + bytes(60)), 415, "source.folder", "pickle",
    ),
    "a pickle by the name of safetensors": (
        raw("model.safetensors", b"\x80\x02}q\x00." + bytes(60)), 415, "source.folder", "pickle",
    ),
    "offsets past the end": (header(lambda h: h[WTE].update(data_offsets=[0, 1 << 40])), 422, "source.folder", WTE),
    "an absurd shape": (header(lambda h: h[WTE].update(shape=[1 << 40, 1 << 40])), 422, "source.folder", WTE),
    "another dtype": (header(lambda h: h[WTE].update(dtype="F64")), 422, "source.folder", WTE),
    "integers": (header(lambda h: h[WTE].update(dtype="I32")), 422, "source.folder", "I32, which is not read"),
    "a tensor is missing": (tensors(lambda t: t.pop(WTE)), 422, "source.folder", "token embedding is missing"),
    "a wrong shape": (tensors(lambda t: t.update({WTE: t[WTE][:-1].clone()})), 422, "source.folder", WTE),
    "a tensor too many": (tensors(lambda t: t.update(odd=torch.ones(2))), 422, "source.folder", "'odd'"),
    "a tied head of another shape": (
        tensors(lambda t: t.update({"lm_head.weight": t[WTE][:-1].clone()})), 422, "source.folder", "lm_head.weight",
    ),
    "a tensor without numbers": (
        header(lambda h: h.update({"lm_head.weight": {"dtype": "F32", "shape": [1 << 62, 0], "data_offsets": [0, 0]}})),
        422, "source.folder", "lm_head.weight",
    ),
    "NaN": (tensors(lambda t: t[WTE].fill_(float("nan"))), 422, "source.folder", WTE),
    "infinity": (tensors(lambda t: t[WTE][0].fill_(float("inf"))), 422, "source.folder", WTE),
    "no config": (without("config.json"), 422, "source.folder", "no config.json"),
    "config is no JSON": (raw("config.json", b"{"), 422, "config.json", "no JSON"),
    "config with NaN": (
        raw("config.json", b'{"model_type": "gpt2", "layer_norm_epsilon": NaN}'), 422, "config.json", "NaN",
    ),
    "config with huge numbers": (configured(n_embd=10**30), 422, "n_embd", "n_embd"),
    "config with absurd layers": (configured(n_layer=2**20), 422, "source.folder", "too few for 1048576 blocks"),
    "config that disagrees": (configured(n_embd=64), 422, "source.folder", WTE),
    "config of other heads": (configured(n_head=5), 422, "n_head", "heads"),
    "config of other positions": (configured(n_positions=49), 422, "source.folder", "wpe.weight"),
    "another family": (configured(model_type="llama"), 422, "architectures", "architectures"),
    "an unknown family": (configured(model_type="mamba"), 422, "model_type", "mamba"),
    "quantised by others": (
        configured(quantization_config={"bits": 4}), 422, "quantization_config", "quantization_config",
    ),
    "a long config": (raw("config.json", b'{"a": "' + b"x" * (5 << 20) + b'"}'), 422, "config.json", "bytes"),
    "no weights": (without("model.safetensors"), 422, "source.folder", "no weights"),
    "tokenizer is no JSON": (raw("tokenizer.json", b"\xff"), 422, "tokenizer.json", "no JSON"),
    "a post-processor that is none": (
        lambda f: rewrite(f / "tokenizer.json", lambda t: t.update(post_processor=[1])),
        422, "source.folder", "post_processor",
    ),
    "tokens around every text": (
        lambda f: rewrite(f / "tokenizer.json", lambda t: t.update(post_processor={"type": "RobertaProcessing"})),
        422, "source.folder", "RobertaProcessing",
    ),
    "a token before every text": (
        lambda f: rewrite(f / "tokenizer_config.json", lambda c: c.update(add_bos_token=True)),
        422, "tokenizer_config.json: add_bos_token", "around every text",
    ),
    "tokenizer of another kind": (
        raw("tokenizer.json", b'{"model": {"type": "Unigram"}}'), 422, "source.folder", "model.type",
    ),
    "a template that is none": (
        lambda f: rewrite(f / "tokenizer_config.json", lambda c: c.update(chat_template="{% for %}")),
        422, "chat_template", "no template",
    ),
    "a template that computes for ever": (
        lambda f: rewrite(f / "tokenizer_config.json", lambda c: c.update(chat_template="{{ 9**(9**8) }}")),
        422, "chat_template", "longer than 2 seconds",
    ),
    "a template of a filter that is none": (
        lambda f: rewrite(f / "tokenizer_config.json", lambda c: c.update(chat_template="{{ messages | tides }}")),
        422, "chat_template", "No filter named 'tides'",
    ),
    "an index without its files": (
        raw("model.safetensors.index.json", b'{"weight_map": {"a": "gone.safetensors"}}'),
        422, "model.safetensors.index.json", "'gone.safetensors'",
    ),
    "an index that leads away": (
        raw("model.safetensors.index.json", b'{"weight_map": {"a": "../../etc/passwd"}}'),
        422, "model.safetensors.index.json", "is not there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_files_that_lie_are_refused_and_leave_nothing(client, imports, settings, case) -> None:
    change, status, param, piece = BAD[case]
    change(a_folder(imports / "bad", a_network(CONFIGS["gpt2"])))
    answer = create(client, "bad")
    assert refusal(answer)[::2] == (status, param), answer.text
    assert piece in refusal(answer)[3]
    assert left_behind(settings) == []
    assert client.get("/models/tiny").status_code == 404


@pytest.mark.parametrize("length", [0, 3, 24, 200, 3000, 20_000, -1])
def test_gguf_that_is_cut_off_is_refused_and_leaves_nothing(client, imports, settings, length) -> None:
    path = a_gguf(imports / "cut.gguf", a_network(CONFIGS["llama"]))
    path.write_bytes(path.read_bytes()[:length])
    assert refusal(create(client, "cut.gguf"))[:3] == (422, "invalid_file", "source.folder")
    assert left_behind(settings) == []


def test_pickled_weights_are_refused_with_a_way_to_convert_them(client, imports, settings, tmp_path) -> None:
    folder = a_folder(imports / "old", a_network(CONFIGS["gpt2"]))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    status, code, _, message = refusal(create(client, "old"))
    assert (status, code) == (415, "unsupported_format")
    assert "save_pretrained" in message
    for name in ("model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl", "weights.npz"):
        (tmp_path / name).write_bytes(b"\x80\x04.")
        assert refusal(upload(client, [tmp_path / name]))[:3] == (415, "unsupported_format", "files")
    (tmp_path / "notes.md").write_text("x")
    assert refusal(upload(client, [tmp_path / "notes.md"]))[:3] == (415, "unsupported_format", "files")
    assert left_behind(settings) == []


def test_the_name_of_an_uploaded_file_never_leads_elsewhere(client, settings, tmp_path) -> None:
    folder = a_folder(tmp_path / "up", a_network(CONFIGS["gpt2"]))
    ways, sent = itertools.cycle(["../../../", "..\\..\\", "/etc/", "C:\\"]), sorted(folder.iterdir())
    files = [("files", (next(ways) + path.name, path.read_bytes())) for path in sent]
    around = settings.data_dir.parent
    before = {path for path in around.rglob("*") if settings.data_dir not in path.parents}
    made = client.post("/models/upload", files=files, data={"name": "tiny"})
    assert made.status_code == 201, made.text
    assert made.json()["origin"]["location"] == ", ".join(path.name for path in sent)
    assert {path for path in around.rglob("*") if settings.data_dir not in path.parents} == before
    for way in ("..", "../", ".", "/"):
        file = ("files", (way, b"{}"))
        refused = refusal(client.post("/models/upload", files=[file], data={"name": "x"}))
        assert refused[:3] == (422, "invalid_file", "files")


def test_uploads_that_cannot_be(client, settings, tmp_path) -> None:
    folder = a_folder(tmp_path / "up", a_network(CONFIGS["gpt2"]))
    good = sorted(folder.iterdir())
    assert refusal(upload(client, [*good, folder / "config.json"]))[:3] == (422, "invalid_file", "files")
    assert refusal(client.post("/models/upload", data={"name": "x"}))[:3] == (422, "missing_field", "files")
    assert refusal(client.post("/models/upload", files=[("files", ("a.gguf", b"GGUF"))]))[2] == "name"
    bad = [("files", ("../../x.gguf", b"GGUF")), ("files", (".gguf", b"GGUF"))]
    assert refusal(client.post("/models/upload", files=bad[:1], data={"name": "x"}))[:2] == (422, "invalid_file")
    assert refusal(client.post("/models/upload", files=bad[1:], data={"name": "x"}))[:2] == (422, "invalid_file")
    (tmp_path / "large.gguf").write_bytes(b"GGUF" + bytes(LIMIT))
    assert refusal(upload(client, [tmp_path / "large.gguf"]))[:2] == (413, "too_large")
    (tmp_path / "larger.gguf").write_bytes(b"GGUF" + bytes(LIMIT + (2 << 20)))
    assert refusal(upload(client, [tmp_path / "larger.gguf"]))[:2] == (413, "too_large")
    two = [a_gguf(tmp_path / f"{n}.gguf", a_network(CONFIGS["gpt2"])) for n in "ab"]
    assert "several models" in refusal(upload(client, two))[3]
    assert refusal(upload(client, good, tokenizer="nothing"))[:2] == (404, "tokenizer_not_found")
    assert left_behind(settings) == []
    assert upload(client, good).status_code == 201
    assert refusal(upload(client, good))[:3] == (409, "name_taken", "name")


def test_a_refused_import_gives_its_memory_back(client, imports) -> None:
    """Fifty megabytes of weights, the last of them NaN: read nearly to the end, then refused, again and again."""
    config = type(CONFIGS["gpt2"])(**CONFIGS["gpt2"].to_dict() | {"emb_dim": 512, "n_layers": 4})
    folder = a_folder(imports / "large", a_network(config))
    tensors(lambda t: t["transformer.ln_f.bias"].fill_(float("nan")))(folder)
    assert refusal(create(client, "large"))[0] == 422
    before = anonymous_kib()
    for _ in range(4):
        assert "ln_f.bias" in refusal(create(client, "large"))[3]
    gc.collect()
    assert anonymous_kib() - before < 12 * 1024


def anonymous_kib() -> int:
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1])


def unpacked(answer, place: Path) -> Path:
    assert answer.headers["content-length"] == str(len(answer.content))
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        archive.extractall(place, filter="data")
    (folder,) = place.iterdir()
    return folder


@pytest.mark.parametrize("config", CONFIGS)
def test_what_is_exported_comes_back_the_same(client, imports, settings, tmp_path, config) -> None:
    network = a_network(CONFIGS[config])
    a_folder(imports / "mine", network)
    create(client, "mine")
    folder = unpacked(client.get("/models/tiny/export"), imports / "out")
    assert folder.name == "tiny"
    assert load(folder).config == network.config
    assert json.loads((folder / "tokenizer_config.json").read_text())["chat_template"] == TEMPLATE
    answer = create(client, "out/tiny", "again")
    assert answer.status_code == 201, answer.text
    first, second = (client.get(f"/models/{name}").json() for name in ("tiny", "again"))
    assert (first["config"], first["sha256"]) == (second["config"], second["sha256"])

    (imports / "tiny.gguf").write_bytes(client.get("/models/tiny/export?format=gguf").content)
    answer = create(client, "tiny.gguf", "third")
    assert answer.status_code == 201, answer.text
    torch.testing.assert_close(logits(client, "third"), logits(client, "tiny"), rtol=0, atol=1e-6)
    (tmp_path / "q8.gguf").write_bytes(client.get("/models/tiny/export?format=gguf&type=q8_0").content)
    assert load_gguf(tmp_path / "q8.gguf").config.n_layers == 2
    assert not list((settings.data_dir / "scratch").iterdir())

    weights = tmp_path / "w.safetensors"
    answer = client.get("/models/tiny/download")
    assert 'filename="tiny.safetensors"' in answer.headers["content-disposition"]
    weights.write_bytes(answer.content)
    ours = dict(network.named_parameters())
    for name, tensor in load_file(weights).items():
        torch.testing.assert_close(tensor, ours[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "damage",
    [
        cut("model.safetensors", 5000),
        raw("model.safetensors", b""),
        without("model.safetensors"),
        without("model.json"),
        without("manifest.json"),
        raw("model.json", b"{}"),
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[::-1]),
    ],
)
def test_a_damaged_model_is_not_sent(client, imports, settings, damage) -> None:
    a_folder(imports / "m", a_network(CONFIGS["gpt2"]))
    create(client, "m")
    assert client.get("/models/tiny/download").status_code == 200
    damage(settings.data_dir / "models" / "tiny")
    assert refusal(client.get("/models/tiny/download"))[:3] == (424, "data_missing", "name")


def test_a_chat_template_in_a_file_of_its_own(client, imports, settings) -> None:
    for name in ("jinja", "json", "config"):
        folder = a_folder(imports / name, a_network(CONFIGS["gpt2"]))
        if name != "config":
            (folder / "chat_template.json").write_text(json.dumps({"chat_template": "of json"}))
        if name == "jinja":
            (folder / "chat_template.jinja").write_text("of jinja")
        assert create(client, name, name).status_code == 201
        kept = json.loads((settings.data_dir / "models" / name / "model.json").read_text())["chat_template"]
        assert kept == (TEMPLATE if name == "config" else f"of {name}")
    (imports / "config" / "chat_template.json").write_text('{"chat_template": 3}')
    assert refusal(create(client, "config"))[:3] == (422, "invalid_file", "chat_template")


def test_exports_that_cannot_be(client, imports) -> None:
    config = CONFIGS["gpt2"].to_dict() | {"vocab_size": words(client, "words-2")}
    a_folder(imports / "m", a_network(type(CONFIGS["gpt2"])(**config)))
    assert create(client, "m", tokenizer="words-2").status_code == 201
    assert refusal(client.get("/models/tiny/export?format=gguf"))[:3] == (422, "invalid_value", "format")
    assert refusal(client.get("/models/tiny/export?type=q8_0"))[:3] == (422, "invalid_value", "type")
    assert refusal(client.get("/models/tiny/export?format=onnx"))[2] == "format"
    assert refusal(client.get("/models/tiny/export?bits=4"))[2] == "bits"
    for path in ("export", "download"):
        assert refusal(client.get(f"/models/nothing/{path}"))[:2] == (404, "model_not_found")
        assert refusal(client.get(f"/models/smollm2-135m-instruct/{path}"))[:2] == (424, "data_missing")
    assert client.get("/models/tiny/export").status_code == 200
