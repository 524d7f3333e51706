"""POST /v1/lens: a photo in, pins out."""

from __future__ import annotations

import asyncio
from time import perf_counter

import msgspec
from aiohttp import web
from msgspec.structs import replace

from operators.identity import stable_id
from streams.api.answers import answer, integer, known
from streams.api.problems import Problem
from streams.engine import Engine
from streams.images.rejection import ImageRejected
from streams.lens import Lens, look
from streams.lens_photo import TOO_LARGE, WHOLE, Box, clipped, fetched
from streams.lens_recall import Recall

#: Pins in the answer.
N, MOST = 25, 100
#: Seconds for the photo to arrive.
BODY_SECONDS = 8.0
JSON, IMAGES = "application/json", "image/"


class LensRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A photo to search with: ``image`` is ``data:``, ``https:`` or ``file:``, as in the events of pins.

    ``box`` is left, top, right, bottom, fractions of the picture's width and height; the whole picture when left out.
    ``pinner`` is who asks, so that words are searched by their taste.
    """

    image: str
    box: list[float] | None = None
    pinner: int | str | None = None
    n: int = N


_decoder = msgspec.json.Decoder(LensRequest)


def box_of(edges: list[float]) -> Box:
    """A box that lies in the picture. Raises Problem 400."""
    try:
        return clipped(edges)
    except ValueError as error:
        raise Problem(400, "invalid-box", f"{str(error).capitalize()}.") from None


def box_in_query(request: web.Request) -> Box | None:
    """``box=left,top,right,bottom`` of the query; None when not given. Raises Problem 400."""
    text = request.query.get("box")
    if text is None:
        return None
    try:
        edges = [float(edge) for edge in text.split(",")]
    except ValueError:
        raise Problem(400, "invalid-box", f"box must be left,top,right,bottom, not {text[:80]!r}.") from None
    return box_of(edges)


def rejected(error: ImageRejected) -> Problem:
    """413 for a picture that is too large, else 422; ``reason`` is a code of ``docs/dead-letters.md``."""
    status, kind = (413, "too-large") if error.reason is TOO_LARGE else (422, "invalid-image")
    detail = f"The image cannot be used: {error.detail}."
    return Problem(status, kind, detail, more={"reason": str(error.reason)})


async def asked(request: web.Request) -> tuple[bytes | str, Box, int, int]:
    """What a request asks for: the image or where it is, the box, the pinner (0: nobody) and how many pins.

    Raises:
        Problem: 400, 408 or 415.
    """
    if request.content_type != JSON and not request.content_type.startswith(IMAGES):
        raise Problem(415, "media-type", f"Send the photo itself ({IMAGES}…), or {JSON} with `image`.")
    known(request, *(() if request.content_type == JSON else ("n", "box", "pinner")))
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError:
        raise Problem(408, "too-slow", f"The photo did not arrive within {BODY_SECONDS:g} s.") from None
    if request.content_type != JSON:
        box, pinner = box_in_query(request) or WHOLE, request.query.get("pinner")
        return body, box, _identity(pinner), integer(request, "n", N, 1, MOST)
    try:
        wish = _decoder.decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Problem(400, "invalid-body", f"The body is not what POST /v1/lens takes: {error}") from None
    if not 1 <= wish.n <= MOST:
        raise Problem(400, "invalid-body", f"n must be an integer from 1 to {MOST}, not {wish.n}.")
    return wish.image, WHOLE if wish.box is None else box_of(wish.box), _identity(wish.pinner), wish.n


def _identity(pinner: int | str | None) -> int:
    try:
        return 0 if pinner is None else stable_id(pinner)
    except ValueError as error:  # also text that is not valid Unicode
        raise Problem(400, "invalid-parameter", f"pinner: {error}") from None


def routes(engine: Engine) -> list[web.RouteDef]:
    recall = Recall()

    async def post(request: web.Request) -> web.Response:
        image, box, pinner, n = await asked(request)
        began = perf_counter()
        try:
            content = image if isinstance(image, bytes) else await fetched(engine.settings, image)
            here = perf_counter()
            found: Lens = await look(engine, recall, content, box, pinner, n)
        except ImageRejected as error:
            raise rejected(error) from None
        if isinstance(image, bytes):
            return answer(found)
        return answer(replace(found, milliseconds={"fetch": round((here - began) * 1000, 3), **found.milliseconds}))

    return [web.post("/v1/lens", post)]
