"""What each format costs in quality: perplexity of SmolLM2-135M on 32,768 tokens of a text, beside llama.cpp's.

    python bench/perplexity.py TEXT --llama DIR    # DIR has llama-perplexity and llama-quantize

As `llama-perplexity` counts: windows of 512 tokens, each read afresh, of which the second half is scored.
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import tempfile
from pathlib import Path

import torch

from app.config import Settings
from app.db.migrate import migrate
from app.llm.engine.runner import Chunk, Wanted
from app.services import exporting, model_files, runners
from app.services.runtime import Runtime
from bench.generate import ASSETS, FORMATS, MODEL, THREADS, llama_file

WINDOW, TOKENS = 512, 32_768


def ours(runtime: Runtime, ids: list[int], dtype: str) -> float:
    with runtime.database.read() as session:
        place = model_files.find(session, runtime.storage, MODEL)
    settings = runtime.settings.model_copy(update={"dtype": dtype, "threads": THREADS, "kv_cache_tokens": WINDOW})
    runner = runners.make(model_files.read(place).network, settings)
    blocks = range(-(-WINDOW // runner.block_tokens))
    total, count = 0.0, 0
    for first in range(0, len(ids) - WINDOW + 1, WINDOW):
        window = ids[first : first + WINDOW]
        logits = runner.run([Chunk(window, 0, list(blocks), Wanted.ALL)])  # (512, V)
        scored = logits[WINDOW // 2 - 1 : -1].double().log_softmax(-1)
        wanted = torch.tensor(window[WINDOW // 2 :])
        total -= float(scored.gather(1, wanted[:, None]).sum())
        count += len(wanted)
    return math.exp(total / count)


def theirs(folder: Path, weights: Path, text: Path) -> float:
    command = [str(folder / "llama-perplexity"), "-m", str(weights), "-f", str(text), "-c", str(WINDOW)]
    told = subprocess.run(
        [*command, "--chunks", str(TOKENS // WINDOW), "-t", str(THREADS)], check=True, capture_output=True, text=True
    )
    found = re.search(r"Final estimate: PPL = ([\d.]+)", told.stdout + told.stderr)
    assert found is not None, told.stderr[-500:]
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--llama", type=Path, help="folder of llama.cpp's programs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        runtime = Runtime.open(Settings(_env_file=None, data_dir=Path(scratch) / "data", assets_dir=ASSETS))
        migrate(runtime.database)
        with runtime.database.read() as session:
            tokenizer = runtime.tokenizers.get(session, "smollm2")
        ids = tokenizer.encode(options.text.read_text(), parse_special=False)[:TOKENS]
        assert len(ids) == TOKENS, f"only {len(ids)} tokens"
        full = ours(runtime, ids, "float32")
        for dtype in FORMATS:
            found = full if dtype == "float32" else ours(runtime, ids, dtype)
            print(f"inkling {dtype:10} {found:8.4f}  {100 * (found / full - 1):+.2f} % of float32", flush=True)
        if options.llama:
            exact = exporting.export(runtime, MODEL, "gguf", "f32").path
            for kind in ("F32", "BF16", "Q8_0", "Q4_0", "Q4_1"):
                found = theirs(options.llama, llama_file(options.llama, exact, Path(scratch), kind), options.text)
                print(f"llama.cpp {kind:8} {found:8.4f}  {100 * (found / full - 1):+.2f} %", flush=True)
        runtime.close()


if __name__ == "__main__":
    main()
