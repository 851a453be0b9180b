"""`/encode` of 1 kB at 32 connections, beside a bare ASGI application that makes the same tiktoken call.

One process each, behind uvicorn; they take turns. Prints requests a second, and the ratio with its spread.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import tiktoken

TEXT = ("The tide clock had stopped, and Mara looked at it for a while before she went down to the boats. " * 11)[:1024]
BODY = json.dumps({"text": TEXT, "tokenizer": "gpt2"}).encode()


async def bare(scope: dict, receive: object, send: object) -> None:
    """What could at best be reached: no validation, no routes."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    ids = ENCODING.encode(json.loads(body)["text"], disallowed_special=()) if body else []
    answer = json.dumps({"ids": ids}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": answer})


ENCODING = tiktoken.get_encoding("gpt2") if os.environ.get("TIKTOKEN_CACHE_DIR") else None


@contextmanager
def running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            while not answers(url):
                assert process.poll() is None, f"{command} ended"
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.post(f"{url}/encode", content=BODY, headers=JSON, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


JSON = {"content-type": "application/json"}


async def rate(port: int, connections: int, seconds: float) -> float:
    """Requests a second; the client speaks HTTP by hand, so that it takes little of the two cores."""
    named = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": len(BODY)}
    head = "".join(("POST /encode HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in named.items()), "\r\n"))
    request, until, done = head.encode() + BODY, time.perf_counter() + seconds, 0

    async def one() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            writer.write(request)
            headers = await reader.readuntil(b"\r\n\r\n")
            assert headers.startswith(b"HTTP/1.1 200"), headers
            await body_of(reader, headers.lower())
            done += 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return done / (time.perf_counter() - started)


async def body_of(reader: asyncio.StreamReader, headers: bytes) -> None:
    if b"content-length: " in headers:
        await reader.readexactly(int(headers.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        return
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
    await reader.readline()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    ours, theirs = free_port(), free_port()
    cache = {"TIKTOKEN_CACHE_DIR": os.path.join(sys.prefix, "share", "inkling", "tiktoken")}
    plain = [sys.executable, "-m", "uvicorn", "bench.encode:bare", "--port", str(theirs), "--no-access-log"]
    with tempfile.TemporaryDirectory() as data:
        own = {"INKLING_DATA_DIR": data, "INKLING_PORT": str(ours)}
        serve = [os.path.join(os.path.dirname(sys.executable), "inkling"), "serve"]
        with running(serve, ours, own), running(plain, theirs, cache):
            pairs = [
                tuple(asyncio.run(rate(port, 32, options.seconds)) for port in (ours, theirs))
                for _ in range(options.rounds)
            ]
    ratios = [mine / its for mine, its in pairs]
    print(f"inkling {statistics.median(mine for mine, _ in pairs):7.0f} requests/s")
    print(f"bare    {statistics.median(its for _, its in pairs):7.0f} requests/s")
    print(f"ratio   {statistics.median(ratios):7.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
