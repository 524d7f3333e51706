"""Hostile requests as bytes: paths, queries, bodies and framing that no client library would send. Seeded."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator

from tests.fuzz.mutation import mutated
from tests.streams.test_api_fuzz import BODIES, NASTY, PATHS, QUERIES, RAW

METHODS = ("GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "get")
TAKERS = (*(f"events/{topic}" for topic in ("pins", "saves", "clicks", "impressions", "pinners", "crops")), "lens")
KINDS = ("application/json", "application/json", "application/x-ndjson", "image/png", "text/plain", "a/b/c;;", "")
EVENT = b'{"time": 1750000000000, "pinner": 12, "pin": 34, "board": 5, "type": "closeup"}'
HEADERS = ("", "", "", "Accept: \xff\r\n", "Range: bytes=9-1\r\n", "Cookie: " + "a=b;" * 900 + "\r\n", "X: y\r\n x\r\n")
#: Some of the framing makes the server wait for more, so it is a small share.
FRAMING = 0.01
#: Requests under way at once, and seconds in which each is answered: the longest wait is the one for a body.
AT_ONCE, PATIENCE = 24, 40.0
#: Seconds for one more answer: bytes may be more requests than one, and the server leaves connections open.
MORE = 0.5


def requests(seed: int, count: int) -> Iterator[bytes]:
    """So many requests, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        way = chance.random()
        if way < FRAMING:
            yield chance.choice(RAW)
            continue
        if way < 0.7:
            path = chance.choice(PATHS).format(chance.choice(NASTY)) + chance.choice(QUERIES)
            method, body = chance.choice(METHODS), b""
        else:
            path, method = f"/v1/{chance.choice(TAKERS)}", "POST"
            body = chance.choice(BODIES) if chance.random() < 0.4 else _events(chance)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{chance.choice(HEADERS)}"
        if method == "POST":
            head += f"Content-Type: {chance.choice(KINDS)}\r\nContent-Length: {len(body)}\r\n"
        whole = head.encode("latin-1", "replace") + b"Connection: close\r\n\r\n" + body
        # What is flipped may be the length: then the rest never comes.
        yield mutated(whole, chance) if method != "HEAD" and chance.random() < 0.02 else whole


def _events(chance: random.Random) -> bytes:
    return b"\n".join(mutated(EVENT, chance) for _ in range(chance.choice((1, 1, 1, 20))))


async def send(host: str, port: int, seed: int, count: int) -> Counter[int]:
    """How many answers had which status; 0 where the server hung up without one."""
    statuses: Counter[int] = Counter()
    waiting = requests(seed, count)

    async def one_after_another() -> None:
        for request in waiting:
            statuses.update(await ask(host, port, request))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_another())
    return statuses


async def ask(host: str, port: int, request: bytes) -> list[int]:
    """The status of each answer to these bytes, which may be more requests than one; [0] where there is none."""
    reader, writer = await asyncio.open_connection(host, port)
    found: list[int] = []
    try:
        writer.write(request)
        while (status := await _answer(reader, request, PATIENCE if not found else MORE)) is not None:
            found.append(status)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    except TimeoutError:
        if not found:
            raise AssertionError(f"no answer to {request[:200]!r}") from None
    finally:
        writer.close()
    return found or [0]


async def _answer(reader: asyncio.StreamReader, request: bytes, seconds: float) -> int | None:
    async with asyncio.timeout(seconds):
        line = await reader.readline()
    if not line.startswith(b"HTTP/"):
        return None
    length = 0
    while (header := await reader.readline()).strip():
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    await reader.readexactly(0 if request.startswith(b"HEAD") else length)
    return int(line.split()[1])
