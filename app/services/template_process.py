"""The process that renders strangers' templates: asked one thing at a time, ended when it takes too long."""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from app.services.template_child import READY, Part, Told

RENDER_S = 2.0
START_S = 30.0


class TemplateProcess:
    """Started when first asked, started again after it was ended; ends by itself when this process is gone."""

    def __init__(self, render_s: float = RENDER_S) -> None:
        self._render_s = render_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def answer(self, source: str, context: dict[str, Any] | None, parts: Sequence[Part] = ()) -> Told:
        """As `template_child.answer`; refused, too, where it takes too long or brings its process down."""
        with self._lock:
            try:
                child = self._running()
                assert child.stdin is not None
                asked = {"source": source, "context": context, "parts": parts}
                child.stdin.write(json.dumps(asked).encode() + b"\n")
                child.stdin.flush()
                told: Told = json.loads(self._line(child, self._render_s))
                return told
            except TimeoutError:
                self._end()
                return {"refused": f"it takes longer than {self._render_s:g} seconds"}
            except (OSError, EOFError):
                self._end()
                return {"refused": "it ends the process that renders it"}

    def close(self) -> None:
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            command = [sys.executable, "-m", "app.services.template_child"]
            pipe = subprocess.PIPE
            self._child = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, start_new_session=True, env=_without_secrets()
            )
            assert self._line(self._child, START_S).strip().decode() == READY
        return self._child

    def _line(self, child: subprocess.Popen[bytes], within_s: float) -> bytes:
        assert child.stdout is not None
        descriptor, until = child.stdout.fileno(), time.monotonic() + within_s
        while b"\n" not in self._unread:
            if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError
            read = os.read(descriptor, 1 << 16)
            if not read:
                raise EOFError
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _end(self) -> None:
        child, self._child, self._unread = self._child, None, b""
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with suppress(OSError, ValueError):  # what was never sent
                        pipe.close()


def _without_secrets() -> dict[str, str]:
    """What the child is told: who breaks out of the sandbox finds neither keys nor passwords in its environment."""
    return {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LANG": "C.UTF-8"}


@cache
def shared() -> TemplateProcess:
    """This process's one."""
    made = TemplateProcess()
    atexit.register(made.close)
    return made
