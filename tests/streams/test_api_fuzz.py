"""Hostile requests, bounded in number and the same in every run: none makes the API answer 5xx or stop."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from streams.api import events
from streams.engine import Engine
from streams.opening import close_engine
from tests.streams.serving import make_engine, nowhere, pin, remember, serving

PATHS = (
    *("/v1/feed/{}", "/v1/pins/{}", "/v1/pins/{}/related", "/v1/stats/pins/{}", "/v1/stats/domains/{}"),
    *("/v1/pins/{}/objects", "/v1/pins/{}/similar", "/v1/pins/{}/similar-looks", "/v1/pins/{}/shop-the-look"),
    *("/v1/slates/{}", "/v1/slates/{}/explain", "/v1/{}", "/{}"),
)
NASTY = (
    *(
        "",
        "0",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "1e9",
        "１２",
        "%00",
        "%ff",
        "%ed%a0%80",
        "%",
        "%zz",
    ),
    *("..", "%2e%2e%2f", "a" * 600, "a" * 9000, "'; DROP TABLE pins --", "{id:Int64}", "\N{SNOWMAN}", "%F0%9F%93%8C"),
    *("xn--", "[::1", "%0d%0aX: y", "#", "?", "//"),
)
QUERIES = (
    *("", "?", "?n=", "?n=1&n=1", "?n=-0", "?n=999999999999999999999", "?n=٣", "?%ff=%ff", "?n=1%00", "?hours=1e3"),
    *(
        "?sources=,",
        "?=",
        "?&&&",
        "?box=0,0,nan,1",
        "?box=,,,",
        "?box=-1e999,0,1,1",
        "?object=-1",
        "?object=9",
        "?pin=%00",
    ),
)
BODIES = (
    *(b"", b"\x00", b"\xff\xfe", b"[", b"[]", b"{}", b"null", b"[null]", b"[[[]]]", b"{" * 2000, b"[" * 20000),
    *(b'{"time": 1e400}', b'{"time": NaN}', b'"text"', b"1" * 5000, b"\n\n\n", b"{}\r\n{}\r\n"),
    b'{"pinner": -5, "pin": 1, "board": 2, "time": 1}',
    b'[{"pin": 99999999999999999999, "time": 1750000000000}]',
    b'{"type": "created", "pin": "\\ud800", "time": 1750000000000}',
)
LOCAL = b" HTTP/1.1\r\nHost: localhost\r\n"
SAVES = b"POST /v1/events/saves" + LOCAL
RAW = (
    *(b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"),
    b"GET /v1/feed/1 HTTP/1.1\r\n\r\n",
    b"GET /v1/feed/1" + LOCAL + b"Host: b\r\n\r\n",
    b"GET " + b"/a" * 9000 + LOCAL + b"\r\n",
    SAVES + b"Content-Length: -1\r\n\r\n",
    SAVES + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    SAVES + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    SAVES + b"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    SAVES + b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{}",
    SAVES + b"Content-Type: a/b/c;;\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /v1/feed/\xff\xfe HTTP/1.1\r\nHost: \xff\r\nAuthorization: \xff\r\n\r\n",
    *(b"OPTIONS *" + LOCAL + b"\r\n", b"GET http://localhost/v1/feed/1" + LOCAL + b"\r\n"),
    *(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", b"GET /health HTTP/1.0\r\n\r\n"),
    *(b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\n\r\n" for host in (b"[", b":::", b"a:b:c]", b"", b"a b")),
)


@pytest.fixture
async def engine(tmp_path: Path):
    engine = make_engine(nowhere(tmp_path))
    remember(engine.state, "pins", *(pin(number) for number in range(1, 11)))
    yield engine
    await close_engine(engine)


async def status(port: int, request: bytes) -> int:
    """Status of a raw request; 0 when the server hangs up, or waits for the rest of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(2 if request in RAW else 20):
            line = await reader.readline()
    except ConnectionError:
        return 0
    except TimeoutError:
        assert request in RAW, f"no answer to {request[:200]!r}"
        return 0
    finally:
        writer.close()
    return int(line.split()[1]) if line.startswith(b"HTTP/") else 0


async def test_hostile_requests_never_fail_the_server(engine: Engine, monkeypatch, caplog):
    choose = random.Random(3)
    requests = list(RAW)
    for _ in range(150):
        path = choose.choice(PATHS).format(choose.choice(NASTY)) + choose.choice(QUERIES)
        method = choose.choice(("GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "FOO"))
        requests.append(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    takers = [f"events/{topic}" for topic in ("pins", "saves", "clicks", "impressions", "pinners")] + ["lens"]
    for taker in takers:
        for kind in ("application/json", "image/png" if taker == "lens" else "application/x-ndjson"):
            for body in BODIES:
                head = f"POST /v1/{taker} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}"
                requests.append(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    async with serving(engine, monkeypatch) as client:
        port = client._base_url.port
        # 503 is what a good request gets: every part is gone here. Nothing else above 499 may come.
        found = [(await status(port, request), request[:120]) for request in requests]
        assert not [one for one in found if one[0] >= 500 and one[0] != 503]
        async with client.get("/health") as response:
            assert response.status == 200
    assert not [record for record in caplog.records if record.name == "streams.api.problems"], "an unforeseen error"
    codes = [code for code, _ in found]
    assert {200, 400, 404, 405, 415, 421, 422} <= set(codes) and codes.count(0) < 10, sorted(codes)


async def test_a_body_that_does_not_come_is_given_up(engine: Engine, monkeypatch):
    monkeypatch.setattr(events, "BODY_SECONDS", 0.2)
    async with serving(engine, monkeypatch) as client:
        late = SAVES + b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{}"
        assert await status(client._base_url.port, late) == 408
