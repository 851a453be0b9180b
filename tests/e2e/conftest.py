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
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000  # a busy machine is slow, not wrong
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


def start_service(folder: Path, command: str = "up", **settings: str) -> Service:
    """Start `inkling up` (or `serve`) with its data under `folder` and wait until it is ready."""
    port = free_port()
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
    wait_until_ready(service)
    return service


def wait_until_ready(service: Service, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert service.process.poll() is None, service.log.read_text()
        try:
            if httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not ready after {timeout_s} s:\n{service.log.read_text()}")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[Service]:
    """One service for all end-to-end tests that leave it as it was; ended as Ctrl-C does."""
    running = start_service(tmp_path_factory.mktemp("service"))
    yield running
    assert running.stop() == 0, running.log.read_text()


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
        # Chromium writes a line for each refusal that a page handles; the page shows it in words.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
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
