"""Hostile connections: bad framing, trickles, floods, thousands left open. Others are answered all the while."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from streams.api import connections
from streams.engine import Engine
from streams.opening import close_engine
from tests.streams.serving import make_engine, nowhere, serving

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HEAD + b"\r\n"
#: Connections opened and left: 10,000 where the system allows as many files (each is two here, both ends).
MANY = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)


@pytest.fixture
async def engine(tmp_path: Path):
    engine = make_engine(nowhere(tmp_path))
    yield engine
    await close_engine(engine)


async def is_closed(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Did the server hang up within this time?"""
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(65536):
                pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def memory() -> int:
    """Resident bytes of this process, in which the server runs."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_a_head_that_trickles_is_given_up(engine: Engine, monkeypatch):
    monkeypatch.setattr("streams.api.server.IDLE_SECONDS", 1.0)
    async with serving(engine, monkeypatch) as client:
        port = client._base_url.port
        silent, _ = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def trickle() -> None:
            for byte in HEAD * 50:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert await is_closed(silent, 10), "a connection that says nothing"
        assert await is_closed(reader, 10), "a head that never ends"
        trickling.cancel()
        async with client.get("/health") as response:
            assert response.status == 200


async def test_thousands_of_connections_left_open_keep_nobody_out(engine: Engine, monkeypatch):
    left: list[asyncio.StreamWriter] = []
    async with serving(engine, monkeypatch) as client:
        port = client._base_url.port
        opened = 0
        for batch in range(0, MANY, 250):
            for _ in range(min(250, MANY - batch)):
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(HEAD[: opened % len(HEAD)])
                    left.append(writer)
                    opened += 1
                except ConnectionError:
                    pass
            async with client.get("/health") as response:
                assert response.status == 200, f"after {opened} connections"
            # A file for each end, while the system allows it: keep ours few enough.
            for writer in left[: -2 * connections.MOST_CONNECTIONS]:
                writer.close()
            del left[: -2 * connections.MOST_CONNECTIONS]
        assert opened > 0.9 * MANY
        served = len(asyncio.all_tasks())
        assert served < 3 * connections.MOST_CONNECTIONS, f"{served} tasks serve {opened} connections"
        for writer in left:
            writer.close()


async def test_an_answer_that_nobody_reads_is_given_up(engine: Engine, monkeypatch):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 2.0)
    async with serving(engine, monkeypatch) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", client._base_url.port, limit=1024)
        before = memory()
        request = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"

        async def flood() -> None:
            for _ in range(300):
                writer.write(request * 1000)
                await writer.drain()

        flooding = asyncio.create_task(flood())
        async with asyncio.timeout(60):
            while not writer.transport.is_closing():
                await asyncio.sleep(0.2)
                async with client.get("/health") as response:
                    assert response.status == 200
        flooding.cancel()
        assert memory() - before < 100 << 20, "it reads no further ahead than it answers"


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n",
        HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(50_000)) + b"\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEAD + b"Cookie: " + b"a=b; " * 100_000 + b"\r\n\r\n",
        HEAD + b" folded: x\r\n\r\n",
        b"\0" * 100_000,
        b"POST /v1/events/saves HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/events/saves HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 100_000,
        b"POST /v1/events/saves HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"POST /v1/events/saves HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 2\r\n\r\nabc",
    ],
    ids=[
        "long-header",
        "many-headers",
        "long-path",
        "cookies",
        "folded",
        "nul",
        "length",
        "chunk",
        "coding",
        "lengths",
    ],
)
async def test_a_bad_head_gets_no_answer_but_4xx(engine: Engine, monkeypatch, caplog, head: bytes):
    monkeypatch.setattr("streams.api.server.IDLE_SECONDS", 1.0)
    async with serving(engine, monkeypatch) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client._base_url.port)
        writer.write(head)
        try:
            async with asyncio.timeout(15):
                line = await reader.readline()
        except ConnectionError:
            line = b""
        assert not line or line.split()[1].startswith(b"4"), line
        writer.close()
        async with client.get("/health") as response:
            assert response.status == 200
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def test_pipelined_requests_are_answered_in_order_each_once(engine: Engine, monkeypatch):
    async with serving(engine, monkeypatch) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client._base_url.port)
        asked = 2_000
        for n in range(asked):
            writer.write(b"GET /v1/nothing/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n)
        found: list[int] = []
        async with asyncio.timeout(60):
            while len(found) < asked:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                found.append(int(body.split(b"/v1/nothing/")[1].split(b'"')[0]))
        writer.close()
    assert found == list(range(asked))
