"""The house rules that a machine can judge: sizes, single owners, mirrored tests, the README's tree."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(p for folder in ("app", "workers") for p in (ROOT / folder).rglob("*.py"))
LIMITS = (  # first match counts; code lines, comments and docstrings are free
    ("app/llm/", 250),
    ("app/services/", 250),
    ("app/db/", 250),
    ("app/schemas/", 250),
    ("app/api/", 180),
    ("app/", 250),
    ("workers/", 120),
)
FUNCTION_LIMIT = 50
OTHER_LIMITS = {"static/js/**/*.js": 250, "static/css/**/*.css": 400, "templates/**/*.html": 180}


def code_lines(source: str) -> set[int]:
    """Numbers of lines that hold code: not blank, not comment, not docstring."""
    skipped = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
        tokenize.ENCODING,
    }
    lines: set[int] = set()
    for token in tokenize.tokenize(io.BytesIO(source.encode()).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
            and first.end_lineno
        ):
            lines -= set(range(first.lineno, first.end_lineno + 1))
    return lines


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_within_their_size(path: Path) -> None:
    name, source = str(path.relative_to(ROOT)), path.read_text()
    lines = code_lines(source)
    limit = next(limit for prefix, limit in LIMITS if name.startswith(prefix))
    assert len(lines) <= limit
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            inner = [n for n in ast.walk(node) if n is not node and isinstance(n, ast.FunctionDef | ast.ClassDef)]
            own = lines & set(range(node.lineno, node.end_lineno + 1))
            for part in inner:
                own -= set(range(part.lineno, (part.end_lineno or part.lineno) + 1))
            assert len(own) <= FUNCTION_LIMIT, f"{node.name} has {len(own)} code lines"


@pytest.mark.parametrize(("pattern", "limit"), OTHER_LIMITS.items())
def test_front_end_files_stay_within_their_size(pattern: str, limit: int) -> None:
    for path in ROOT.glob(pattern):
        assert sum(1 for line in path.read_text().splitlines() if line.strip()) <= limit, path


@pytest.mark.parametrize(
    ("pattern", "owners"),
    [
        (r"\.commit\(\)", {"app/db/session.py"}),
        (r"os\.environ|os\.getenv", {"app/config.py"}),
        (r"\.backward\(\)", {"app/llm/train/loop.py"}),
        (r"data_dir\s*/|assets_dir\s*/", {"app/services/storage.py", "app/config.py"}),
        (r"torch\.load|import pickle|(?<![.\w])eval\(", set()),  # model.eval() is another thing
    ],
)
def test_single_owners(pattern: str, owners: set[str]) -> None:
    found = {str(p.relative_to(ROOT)) for p in SOURCES if re.search(pattern, p.read_text())}
    assert found <= owners


def test_requests_come_to_models_by_way_of_their_owner() -> None:
    """`Models.wait_for` sees everybody's models unless it is told who asks, as `Runtime.model` tells it."""
    asking = {path.relative_to(ROOT).as_posix() for path in SOURCES if "models.wait_for(" in path.read_text()}
    assert asking == {"app/services/runtime.py"}


def test_one_client_speaks_to_strangers() -> None:
    """What services call beside it is what an administrator has named: the remote backend, and this service itself."""
    speaks = re.compile(r"(import|from) (httpx2?|requests|urllib\.request|urllib3|http\.client)\b|get_session|HfApi")
    found = {path.relative_to(ROOT / "app/services").as_posix() for path in SOURCES
             if "services" in path.parts and speaks.search(path.read_text())}  # fmt: skip
    of_the_administrator = {"remote.py", "remote_refusals.py", "doctor.py", "tracing_check.py"}
    its_errors_and_answers = {"hub.py", "hub_files.py", "public_sets.py"}
    assert found == {"outgoing.py"} | of_the_administrator | its_errors_and_answers
    for name in its_errors_and_answers:
        assert not re.search(r"httpx2\.(Client|get|stream|request)\b", (ROOT / "app/services" / name).read_text())


def test_each_test_mirrors_a_source() -> None:
    """tests/x/test_y.py stands for app/x/y.py, workers/x/y.py, or a folder of that name."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        relative = path.relative_to(ROOT / "tests")
        if len(relative.parts) == 1 or relative.parts[0] == "e2e":
            continue
        stem = relative.with_name(relative.stem.removeprefix("test_"))
        places = [ROOT / "app" / stem, ROOT / stem]
        assert any(p.with_suffix(".py").exists() or p.is_dir() for p in places), f"{relative} mirrors nothing"


def test_the_readme_tree_names_every_folder_and_only_what_is_there() -> None:
    tree = re.search(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tree, "the README has no tree"
    named = {line.split()[0].rstrip("/") for line in tree.group(1).splitlines() if line.strip()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    top = {name.split("/")[0] for name in tracked if "/" in name and not name.startswith(".")}
    inside = {"/".join(name.split("/")[:2]) for name in tracked if name.startswith("app/") and name.count("/") >= 2}
    assert top | inside <= named
    assert all((ROOT / name).exists() for name in named)
