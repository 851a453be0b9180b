"""The whole service as a person starts it: `inkling up` on a free port and an empty data directory.

And a real Chromium for the tests of pages, with an eye kept on what each page does.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.weight_files import CONFIGS, a_folder, a_network

ROOT = Path(__file__).resolve().parents[2]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000  # a busy machine is slow, not wrong
EXPECTED = ("Failed to load resource", "GPU stall due to ReadPixels", "Canvas2D: Multiple readback operations")
"""Chromium's lines for each refusal that a page handles, in words of its own, and for Plotly's space without a GPU."""
NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@dataclass
class Service:
    """A running `inkling up`; `url` is its address."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """End it as Ctrl-C does; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_service(folder: Path, command: str = "up", *, is_bare: bool = False, **settings: str) -> Service:
    """Start `inkling up` (or `serve`) with its data under `folder`, and wait until it is ready.

    It takes a free port, or the `port` that is set. A bare one has no assets, and is waited for until it answers.
    """
    if is_bare:
        settings["assets_dir"] = str(folder / "no-assets")
    port = int(settings.get("port", free_port()))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INKLING_")}
    environment |= {f"INKLING_{name.upper()}": value for name, value in settings.items()}
    environment |= {"INKLING_PORT": str(port), "INKLING_DATA_DIR": str(folder / "data")}
    log = folder / f"{command}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", command],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(f"http://127.0.0.1:{port}", process, log)
    wait_until_ready(service, "healthz" if is_bare else "readyz")
    return service


def wait_until_ready(service: Service, path: str = "readyz", timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert service.process.poll() is None, service.log.read_text()
        try:
            if httpx.get(f"{service.url}/{path}", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    service.process.kill()
    service.process.wait()
    pytest.fail(f"not ready after {timeout_s} s:\n{service.log.read_text()}")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[Service]:
    """One service for all end-to-end tests that leave it as it was; ended as Ctrl-C does."""
    running = start_service(tmp_path_factory.mktemp("service"), judge_private_addresses="true")
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="session")
def tiny_models(service: Service, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of two models by chance that read bytes: what is done with them takes no time."""
    names = ["tiny-one", "tiny-two"]
    config = replace(CONFIGS["llama"], context_length=1024)  # a byte is a token
    for seed, name in enumerate(names):
        folder = a_folder(tmp_path_factory.mktemp(name) / name, a_network(config, seed))
        files = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
        made = httpx.post(f"{service.url}/models/upload", data={"name": name}, files=files, timeout=60)
        assert made.status_code == 201, made.text
    return names


@pytest.fixture(scope="module")  # while Playwright runs, its event loop is this thread's: no other test can have one
def chromium() -> Iterator[Browser]:
    path = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs Chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page must not do: complain, break its policy, ask another host."""

    home: str
    complaints: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", lambda request: self._ask(request.url))
        page.add_init_script(NOTE_VIOLATIONS)

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(known in text for known in EXPECTED):
            self.complaints.append(f"{kind}: {text}")

    def _ask(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != urlsplit(self.home).netloc:
            self.complaints.append(f"request to another host: {url}")


@pytest.fixture
def context(chromium: Browser, service: Service) -> Iterator[BrowserContext]:
    made = chromium.new_context(base_url=service.url, viewport={"width": 1280, "height": 900})
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, service: Service) -> Iterator[Page]:
    made = context.new_page()
    watch = Watch(service.url)
    watch.over(made)
    yield made
    watch.complaints += [f"policy: {broken}" for broken in made.evaluate("window.violations ?? []")]
    assert watch.complaints == []
