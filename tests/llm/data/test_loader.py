"""Batches in order from a saved position, and two gigabytes of corpus in little memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.llm.data.loader import Loader, fingerprint
from app.llm.data.windows import Batches, Mixture, Windows
from app.llm.errors import BadPosition

ROOT = Path(__file__).parents[3]


def batches_of(ids: torch.Tensor, *, batch_size: int = 3, seed: int = 1, weights: tuple[float, ...] = (2.0, 1.0)):
    parts = [Windows(ids, 4, 4), Windows(torch.arange(500, 560), 4, 4)]
    return Batches(Mixture(parts, weights), batch_size, seed)


def test_a_loader_goes_on_where_another_stood():
    ids = torch.arange(100)
    unbroken = Loader(batches_of(ids))
    expected = [next(unbroken) for _ in range(40)]
    assert unbroken.epoch == 3  # of 12 batches each
    first = Loader(batches_of(ids))
    for _ in range(17):
        next(first)
    saved = json.loads(json.dumps(first.position()))
    again = Loader(batches_of(ids))
    again.restore(saved)
    for step in range(17, 40):
        inputs, targets = next(again)
        assert torch.equal(inputs, expected[step][0])
        assert torch.equal(targets, expected[step][1])
    assert again.position() == unbroken.position()


def changed(ids: torch.Tensor) -> torch.Tensor:
    ids = ids.clone()
    ids[50] += 1
    return ids


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda ids: batches_of(changed(ids)), "corpus"),
        (lambda ids: batches_of(ids[:-1]), "corpus"),
        (lambda ids: batches_of(ids, weights=(1.0, 1.0)), "corpus"),
        (lambda ids: batches_of(ids, batch_size=4), "batch_size 3 is not 4"),
        (lambda ids: batches_of(ids, seed=2), "seed 1 is not 2"),
    ],
)
def test_a_position_in_other_data_is_refused(other, told):
    ids = torch.arange(100)
    saved = Loader(batches_of(ids)).position()
    loader = Loader(other(ids))
    with pytest.raises(BadPosition, match=told):
        loader.restore(saved)
    assert loader.step == 0


@pytest.mark.parametrize("step", [-1, 1.0, "1", None, True])
def test_a_position_without_a_step_is_refused(step):
    loader = Loader(batches_of(torch.arange(100)))
    with pytest.raises(BadPosition):
        loader.restore(loader.position() | {"step": step})
    with pytest.raises(BadPosition):
        loader.restore({})


def test_a_loader_tells_what_it_read():
    loader = Loader(batches_of(torch.arange(100)))
    for _ in range(24):
        next(loader)
    assert sum(use.tokens_read for use in loader.used()) == 24 * 3 * 4
    assert [round(use.share, 1) for use in loader.used()] == [0.7, 0.3]


def test_a_fingerprint_does_not_depend_on_how_ids_are_held():
    ids = torch.arange(3000) % 100
    as_bytes = ids.to(torch.uint8).numpy()
    assert fingerprint(Batches(Windows(ids, 4, 4), 2, 1)) == fingerprint(Batches(Windows(as_bytes, 4, 4), 2, 1))


SAMPLED = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from app.llm.data.corpus import read_ids
from app.llm.data.loader import Loader
from app.llm.data.windows import Batches, Mixture, Windows

def anonymous_kb():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines()
                if line.startswith("RssAnon"))

path, blocks, block_ids = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
before = anonymous_kb()
ids = read_ids(path, vocab_size=50257)
windows = Windows(ids, 1024, 1)
loader = Loader(Batches(Mixture([windows], [1.0]), 16, seed=123))
most, reached = 0, []
for _ in range(200):
    inputs, targets = next(loader)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    most = max(most, anonymous_kb() - before)
for step in range(200):
    reached += loader._batches.indices(step)
for index in reached[::400]:
    assert np.array_equal(windows[index][0].numpy(), ids[index : index + 1024])
loader.restore(loader.position())
next(loader)
most = max(most, anonymous_kb() - before)
print(json.dumps({"most_kb": most, "windows": len(windows), "distinct": len(set(reached)), "bytes": ids.nbytes,
                  "blocks": len({index // block_ids for index in reached})}))
"""


def test_two_gigabytes_are_sampled_in_fifty_megabytes(tmp_path: Path):
    """Windows of 1,024 tokens at every token of a real file: their order as a table would take 8 GB by itself.

    Files mapped into memory count as the system's cache; what counts here is RssAnon, memory of the process's own.
    """
    if shutil.disk_usage(tmp_path).free < 4 << 30:
        pytest.skip("needs 4 GB of disk")
    blocks, block_ids = 128, 1 << 23  # of 16 MiB each
    block = torch.randint(50_257, (block_ids,), generator=torch.Generator().manual_seed(1)).to(torch.uint16).numpy()
    path = tmp_path / "corpus"
    try:
        with path.open("wb") as file:
            for number in range(blocks):
                block[0] = number
                block.tofile(file)
        assert path.stat().st_size >= 2 * 10**9
        assert path.stat().st_blocks * 512 >= 2 * 10**9  # no holes
        arguments = [sys.executable, "-c", SAMPLED, str(path), str(blocks), str(block_ids)]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        path.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["windows"] == blocks * block_ids - 1024
    assert told["distinct"] == 200 * 16
    assert told["blocks"] == blocks  # every part of the file is reached
    assert told["most_kb"] < 50_000, told
