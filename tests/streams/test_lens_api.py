"""Lens with every outside part gone: what it refuses and how, and that good requests are unavailable, not wrong."""

from __future__ import annotations

import asyncio
import base64
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from streams.api import lens
from streams.opening import close_engine
from streams.settings import PROJECT
from tests.streams.serving import NOW, make_engine, nowhere, pin, remember
from tests.streams.test_api import problem

PHOTO = (PROJECT / "examples" / "sample" / "photos" / "190-hat.jpg").read_bytes()
PNG = {"Content-Type": "image/png"}


@pytest.fixture
async def engine(tmp_path: Path):
    engine = make_engine(nowhere(tmp_path))
    remember(engine.state, "pins", *(pin(number) for number in range(1, 4)))
    remember(engine.state, "pins", pin(31), pin(31, type="deleted", time=NOW))
    yield engine
    await close_engine(engine)


def inline(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def drawn(kind: str, **how) -> bytes:
    file = BytesIO()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(file, kind, **how)
    return file.getvalue()


async def test_a_good_photo_waits_for_triton_and_says_when_to_come_back(client: aiohttp.ClientSession):
    async with client.post("/v1/lens", data=PHOTO, headers={"Content-Type": "image/jpeg"}) as response:
        assert int(response.headers["Retry-After"]) >= 1
        body = await problem(response, 503, "unavailable")
    assert body["part"] == "triton"


@pytest.mark.parametrize(
    ("content", "status", "kind", "reason"),
    [
        (b"", 422, "invalid-image", "image_not_an_image"),
        (b"no picture at all", 422, "invalid-image", "image_not_an_image"),
        (PHOTO[: len(PHOTO) // 2], 422, "invalid-image", "image_truncated"),
        (drawn("TIFF"), 422, "invalid-image", "image_not_an_image"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, 422, "invalid-image", "image_not_an_image"),
    ],
)
async def test_what_is_no_picture_is_told(
    client: aiohttp.ClientSession, content: bytes, status: int, kind: str, reason: str
):
    async with client.post("/v1/lens", data=content, headers=PNG) as response:
        body = await problem(response, status, kind)
    assert body["reason"] == reason


async def test_a_picture_of_too_many_pixels_is_too_large(client: aiohttp.ClientSession):
    file = BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    async with client.post("/v1/lens", data=file.getvalue(), headers=PNG) as response:
        assert (await problem(response, 413, "too-large"))["reason"] == "image_too_large"


@pytest.mark.parametrize(
    ("box", "word"),
    [
        ("0.6,0.1,0.4,0.9", "upside down"),
        ("0.1,0.9,0.4,0.2", "upside down"),
        ("0.5,0.1,0.5,0.9", "empty"),
        ("1.01,0,1.04,1", "empty"),
        ("10,20,300,400", "outside"),
        ("-0.2,0,0.5,0.5", "outside"),
        ("0,0,1", "four numbers"),
        ("0,0,nan,1", "four numbers"),
        ("a,b,c,d", "left,top,right,bottom"),
        ("", "left,top,right,bottom"),
    ],
)
async def test_a_box_that_is_none_is_told(client: aiohttp.ClientSession, box: str, word: str):
    async with client.post(f"/v1/lens?box={box}", data=PHOTO, headers=PNG) as response:
        assert word in (await problem(response, 400, "invalid-box"))["detail"]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ("{", 400, "invalid-body"),
        ("[]", 400, "invalid-body"),
        ("{}", 400, "invalid-body"),
        ('{"image": 5}', 400, "invalid-body"),
        ('{"image": "data:,", "boxes": []}', 400, "invalid-body"),
        ('{"image": "data:image/png,x", "n": 0}', 400, "invalid-body"),
        ('{"image": "data:image/png,x", "box": [0.6, 0, 0.4, 1]}', 400, "invalid-box"),
        ('{"image": "data:image/png,x", "pinner": 0}', 400, "invalid-parameter"),
        ('{"image": "data:text/plain,x"}', 422, "invalid-image"),
        ('{"image": "ftp://example.com/a.png"}', 422, "invalid-image"),
        ('{"image": "file:///etc/hostname"}', 422, "invalid-image"),
        ('{"image": "http://127.0.0.1:9/a.png"}', 422, "invalid-image"),
        ('{"image": "file:examples/sample/photos/none.jpg"}', 422, "invalid-image"),
    ],
)
async def test_bad_json_is_explained(client: aiohttp.ClientSession, body: str, status: int, kind: str):
    async with client.post("/v1/lens", data=body, headers={"Content-Type": "application/json"}) as response:
        await problem(response, status, kind)


async def test_other_kinds_of_body_are_refused(client: aiohttp.ClientSession):
    async with client.post("/v1/lens", data=PHOTO, headers={"Content-Type": "text/plain"}) as response:
        await problem(response, 415, "media-type")
    async with client.post("/v1/lens?n=5", json={"image": inline(PHOTO)}) as response:
        await problem(response, 400, "invalid-parameter")
    async with client.post("/v1/lens?n=0", data=PHOTO, headers=PNG) as response:
        await problem(response, 400, "invalid-parameter")


async def test_a_photo_that_does_not_come_is_given_up(client: aiohttp.ClientSession, monkeypatch):
    monkeypatch.setattr(lens, "BODY_SECONDS", 0.05)

    async def nothing():
        yield PHOTO[:10]
        await asyncio.sleep(0.5)
        yield PHOTO[10:]

    async with client.post("/v1/lens", data=nothing(), headers=PNG) as response:
        await problem(response, 408, "too-slow")


@pytest.mark.parametrize("kind", ["objects", "similar", "similar-looks", "shop-the-look"])
async def test_lens_on_a_pin_asks_memory_first_then_clickhouse(client: aiohttp.ClientSession, kind: str):
    for number, status, what in ((31, 410, "deleted"), (999, 404, "not-found"), (1, 503, "unavailable")):
        async with client.get(f"/v1/pins/{number}/{kind}") as response:
            await problem(response, status, what)


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("box=0.6,0,0.4,1", "invalid-box"),
        ("object=1&box=0,0,1,1", "invalid-parameter"),
        ("n=0", "invalid-parameter"),
        ("m=1", "invalid-parameter"),
    ],
)
async def test_bad_questions_of_a_pin_are_explained(client: aiohttp.ClientSession, query: str, kind: str):
    async with client.get(f"/v1/pins/1/similar?{query}") as response:
        await problem(response, 400, kind)
