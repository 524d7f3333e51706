"""Fetching images: from folders, inline and over real HTTP, with everybody hostile."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from operators.rejection import Reason
from streams.images.addresses import is_public
from streams.images.fetch import ImageFetcher
from streams.images.rejection import ImageRejected
from streams.settings import PROJECT, Settings

PICTURE = b"any bytes: fetching does not look inside"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def reason(settings: Settings, reference: str, **limits: float) -> Reason:
    with pytest.raises(ImageRejected) as caught:
        async with ImageFetcher(settings, **limits) as fetcher:
            await fetcher.fetch(reference)
    assert caught.value.detail
    return caught.value.reason


async def content(settings: Settings, reference: str) -> bytes:
    async with ImageFetcher(settings) as fetcher:
        return await fetcher.fetch(reference)


# --- files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a photo.jpg").write_bytes(PICTURE)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return inside


@pytest.fixture
def settings(folder: Path) -> Settings:
    return replace(Settings.load({}), image_folders=str(folder))


async def test_a_file_below_a_readable_folder(settings: Settings, folder: Path) -> None:
    assert await content(settings, f"file://{folder}/a%20photo.jpg") == PICTURE
    assert await content(settings, f"file://localhost{folder}/a%20photo.jpg") == PICTURE


async def test_a_relative_file_is_the_projects(tmp_path: Path) -> None:
    assert (
        await content(replace(Settings.load({}), image_folders="requirements"), "file:requirements/engine.in")
        == (PROJECT / "requirements" / "engine.in").read_bytes()
    )


async def test_files_elsewhere_are_forbidden(settings: Settings, folder: Path) -> None:
    (folder / "link.jpg").symlink_to(folder.parent / "secret.jpg")
    (folder / "up").symlink_to(folder.parent)
    for path in ("../secret.jpg", "link.jpg", "up/secret.jpg", "%2e%2e/secret.jpg"):
        assert await reason(settings, f"file://{folder}/{path}") == Reason.IMAGE_FORBIDDEN_PATH
    assert await reason(settings, "file:///etc/hostname") == Reason.IMAGE_FORBIDDEN_PATH
    # A folder whose name only begins alike is another folder.
    (folder.parent / "inside-out").mkdir()
    assert await reason(settings, f"file://{folder}-out/x.jpg") == Reason.IMAGE_FORBIDDEN_PATH


async def test_files_that_are_no_files(settings: Settings, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    assert await reason(settings, f"file://{folder}/pipe") == Reason.IMAGE_UNREADABLE
    assert await reason(settings, f"file://{folder}/") == Reason.IMAGE_UNREADABLE
    assert await reason(settings, f"file://{folder}/loop") == Reason.IMAGE_UNREADABLE
    assert await reason(settings, f"file://{folder}/%00.jpg") == Reason.IMAGE_UNREADABLE
    assert await reason(settings, f"file://{folder}/none.jpg") == Reason.IMAGE_MISSING
    assert await reason(settings, f"file://other.example{folder}/a%20photo.jpg") == Reason.IMAGE_BAD_REFERENCE


async def test_a_file_that_is_too_large(settings: Settings, folder: Path) -> None:
    (folder / "large.jpg").write_bytes(bytes(1001))
    assert await reason(settings, f"file://{folder}/large.jpg", most_bytes=1000) == Reason.IMAGE_TOO_LARGE


# --- inline


async def test_inline_images(settings: Settings) -> None:
    encoded = base64.b64encode(PICTURE).decode()
    assert await content(settings, f"data:image/png;base64,{encoded}") == PICTURE
    assert await content(settings, "data:image/png,%00%01") == b"\x00\x01"
    assert await reason(settings, "data:image/png;base64,@@@@") == Reason.IMAGE_BAD_REFERENCE
    assert await reason(settings, f"data:text/html;base64,{encoded}") == Reason.IMAGE_BAD_REFERENCE
    assert await reason(settings, "data:image/png;base64") == Reason.IMAGE_BAD_REFERENCE
    assert await reason(settings, f"data:image/png;base64,{'A' * 2000}", most_bytes=1000) == Reason.IMAGE_TOO_LARGE


@pytest.mark.parametrize(
    "reference", ["ftp://example.com/x", "photo.jpg", "javascript:alert(1)", "http://", "http://[::"]
)
async def test_references_that_are_none(settings: Settings, reference: str) -> None:
    assert await reason(settings, reference) == Reason.IMAGE_BAD_REFERENCE


# --- addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "2002:7f00:1::", "64:ff9b::a9fe:a9fe",
        "2001:db8::1", "not an address",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


# --- HTTP, from a real server on loopback that is explicitly trusted


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[int]]]:
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> int:
        app = web.Application()
        app.router.add_get("/{name:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        runners.append(runner)
        return runner.addresses[0][1]

    yield start
    for runner in runners:
        await runner.cleanup()


Serve = Callable[[Handler], Awaitable[int]]


def trusting(*hosts: str) -> Settings:
    return replace(Settings.load({}), image_hosts=",".join(hosts))


async def picture(_: web.Request) -> web.Response:
    return web.Response(body=PICTURE)


async def test_a_trusted_host_serves_and_others_on_private_addresses_do_not(serve: Serve) -> None:
    port = await serve(picture)
    assert await content(trusting(f"127.0.0.1:{port}"), f"http://127.0.0.1:{port}/x.jpg") == PICTURE
    assert await content(trusting("localhost"), f"http://localhost:{port}/x.jpg") == PICTURE
    nobody = trusting()
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        assert await reason(nobody, f"http://{host}:{port}/x.jpg") == Reason.IMAGE_PRIVATE_ADDRESS, host
    for host in ("2130706433", "0x7f.1", "127.1"):  # spellings of 127.0.0.1 that some resolvers take
        refused = await reason(nobody, f"http://{host}:{port}/x.jpg")
        assert refused in (Reason.IMAGE_PRIVATE_ADDRESS, Reason.IMAGE_BAD_REFERENCE), host


async def test_trust_is_for_the_named_port_only(serve: Serve) -> None:
    port, other = await serve(picture), await serve(picture)
    assert await reason(trusting(f"127.0.0.1:{port}"), f"http://127.0.0.1:{other}/x") == Reason.IMAGE_PRIVATE_ADDRESS


async def test_a_redirect_to_a_private_address_is_refused(serve: Serve) -> None:
    asked: list[str] = []

    async def inside(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=PICTURE)

    private = await serve(inside)

    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://{request.match_info['name']}:{private}/secret")

    port = await serve(redirect)
    settings = trusting(f"127.0.0.1:{port}")
    for host in ("localhost", "127.0.0.1"):
        assert await reason(settings, f"http://127.0.0.1:{port}/{host}") == Reason.IMAGE_PRIVATE_ADDRESS
    assert not asked


async def test_a_name_that_resolves_differently_each_time_is_judged_by_what_is_connected_to(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when looked up first, private when connected to."""
    port, answers = await serve(picture), iter(["93.184.216.34", "127.0.0.1", "127.0.0.1", "127.0.0.1"])
    original = socket.getaddrinfo

    def rebinding(host: str, *arguments: object, **more: object) -> object:
        if host != "rebinding.example":
            return original(host, *arguments, **more)  # type: ignore[arg-type]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert socket.getaddrinfo("rebinding.example", port)[0][4][0] == "93.184.216.34"
    assert await reason(trusting(), f"http://rebinding.example:{port}/x.jpg") == Reason.IMAGE_PRIVATE_ADDRESS


async def test_redirects_are_followed_and_counted(serve: Serve) -> None:
    async def hops(request: web.Request) -> web.Response:
        left = int(request.match_info["name"])
        if left == 0:
            return web.Response(body=PICTURE)
        raise web.HTTPFound(f"/{left - 1}")

    port = await serve(hops)
    settings = trusting("127.0.0.1")
    assert await content(settings, f"http://127.0.0.1:{port}/5") == PICTURE
    assert await reason(settings, f"http://127.0.0.1:{port}/6") == Reason.IMAGE_UNREADABLE


async def test_a_redirect_to_another_scheme_is_refused(serve: Serve) -> None:
    async def to_file(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "file:///etc/hostname"})

    port = await serve(to_file)
    assert await reason(trusting("127.0.0.1"), f"http://127.0.0.1:{port}/") == Reason.IMAGE_BAD_REFERENCE


async def test_status_codes(serve: Serve) -> None:
    async def status(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["name"]))

    port = await serve(status)
    found = {
        code: await reason(trusting("127.0.0.1"), f"http://127.0.0.1:{port}/{code}") for code in (404, 410, 500, 403)
    }
    assert found == {
        404: Reason.IMAGE_MISSING, 410: Reason.IMAGE_MISSING, 500: Reason.IMAGE_UNREADABLE, 403: Reason.IMAGE_UNREADABLE
    }  # fmt: skip


async def test_nobody_listens() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    assert await reason(trusting("127.0.0.1"), f"http://127.0.0.1:{port}/") == Reason.IMAGE_UNREADABLE


async def test_bodies_that_are_too_large(serve: Serve) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        if request.match_info["name"] == "declared":
            return web.Response(body=bytes(5000))
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1000))

    async def bomb(_: web.Request) -> web.Response:
        response = web.Response(body=bytes(1_000_000))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    port, bombs = await serve(endless), await serve(bomb)
    for url in (f"http://127.0.0.1:{port}/declared", f"http://127.0.0.1:{port}/x", f"http://127.0.0.1:{bombs}/x"):
        assert await reason(trusting("127.0.0.1"), url, most_bytes=4000) == Reason.IMAGE_TOO_LARGE


async def test_slow_servers(serve: Serve) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:  # each byte resets a timeout between reads, so only a total one helps
            await response.write(b"x")
            await asyncio.sleep(0.02)

    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    for handler in (drip, silent):
        port = await serve(handler)
        url = f"http://127.0.0.1:{port}/"
        assert await reason(trusting("127.0.0.1"), url, total_seconds=0.4) == Reason.IMAGE_SLOW


async def test_a_body_that_stops_early() -> None:
    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await reason(trusting("127.0.0.1"), f"http://127.0.0.1:{port}/") == Reason.IMAGE_TRUNCATED
