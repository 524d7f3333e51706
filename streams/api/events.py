"""POST /v1/events/{topic}: events checked as the agents check them, and held by Kafka when the answer says so."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import msgspec
import numpy as np
from aiohttp import web

from operators.batch import Records, Reject, Source
from operators.decode import decode_engagement, decode_events
from operators.events import ENGAGEMENT_TOPICS, EVENTS, PinEvent
from streams.api.answers import answer, known
from streams.api.problems import Problem
from streams.engine import Engine
from streams.outputs import reach
from streams.stores.protocols import StoreUnavailable

#: Most events in one request.
MOST_EVENTS = 10_000
#: Seconds for the body to arrive, and for the broker to hold what was sent.
BODY_SECONDS = 8.0
BROKER_SECONDS = 5.0

JSON, LINES = "application/json", "application/x-ndjson"


class Result(msgspec.Struct, omit_defaults=True):
    """What became of the event at ``index``; a rejected one has a reason code (``docs/events.md``) and a detail."""

    index: int
    status: Literal["accepted", "rejected"]
    reason: str = ""
    detail: str = ""


class Receipt(msgspec.Struct):
    """Kafka holds the accepted events. The same event sent again counts once."""

    topic: str
    accepted: int
    rejected: int
    results: list[Result]


_array = msgspec.json.Decoder(list[msgspec.Raw])


def split(body: bytes, content_type: str) -> list[bytes]:
    """The events of a body, undecoded: one object, an array of objects, or lines. Raises Problem 400."""
    if content_type == LINES:
        values = [line for line in body.splitlines() if line.strip()]
    elif body.lstrip()[:1] == b"[":
        try:
            values = [bytes(raw) for raw in _array.decode(body)]
        except (ValueError, RecursionError) as error:
            raise Problem(400, "invalid-body", f"The array is not JSON: {error}") from None
    else:
        values = [body] if body.strip() else []
    if not 1 <= len(values) <= MOST_EVENTS:
        raise Problem(400, "invalid-body", f"A request carries 1 to {MOST_EVENTS} events, not {len(values)}.")
    return values


def check(topic: str, values: list[bytes]) -> tuple[dict[int, int], list[Reject]]:
    """``({index: Kafka key} of the events that may be sent, those that may not)``."""
    n = len(values)
    now = np.full(n, time.time_ns() // 1_000_000, np.int64)
    records = Records.of(Source(topic, 0, 0, n - 1), np.arange(n, dtype=np.int64), now, list(values))
    if topic in ENGAGEMENT_TOPICS:
        engagement = decode_engagement(records)
        good = engagement.good
        return dict(zip(good.offset.tolist(), good.pinner.tolist(), strict=True)), engagement.rejects
    decoded = decode_events(records)
    keys: dict[int, int] = {}
    for index, _, event in decoded.good:
        # Ids are integers once decoded.
        keys[index] = int(event.pin if isinstance(event, PinEvent) else event.pinner)  # type: ignore[attr-defined]
    return keys, decoded.rejects


def routes(engine: Engine) -> list[web.RouteDef]:
    flushing = asyncio.Lock()

    async def hold(topic: str, events: list[tuple[int, bytes]]) -> None:
        """Returns when the broker holds the events. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(BROKER_SECONDS):
                await reach(engine.settings.kafka_bootstrap)
                for key, value in events:
                    engine.outputs.send(topic, key, value)
                # One flush at a time: each holds a thread while it waits for the broker.
                async with flushing:
                    await engine.outputs.flush()
        except TimeoutError:
            raise StoreUnavailable("kafka", f"the broker did not answer within {BROKER_SECONDS:g} s", 5.0) from None

    async def body_of(request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except TimeoutError:
            raise Problem(408, "too-slow", f"The body did not arrive within {BODY_SECONDS:g} s.") from None

    async def post(request: web.Request) -> web.Response:
        known(request)
        topic = request.match_info["topic"]
        if topic not in EVENTS:
            raise Problem(404, "not-found", f"No topic {topic[:40]!r}; events go to {', '.join(EVENTS)}.")
        if request.content_type not in (JSON, LINES):
            raise Problem(415, "media-type", f"Send {JSON} (an object or an array) or {LINES}.")
        values = split(await body_of(request), request.content_type)
        keys, rejects = check(topic, values)
        results = [Result(index, "accepted") for index in range(len(values))]
        for reject in rejects:
            results[reject.offset] = Result(reject.offset, "rejected", str(reject.reason), reject.detail)
        receipt = Receipt(topic, len(keys), len(rejects), results)
        if not keys:
            raise Problem(
                422,
                "invalid-event",
                "No event of this request can be used; results says why.",
                more={"results": results},
            )
        await hold(topic, [(key, values[index]) for index, key in keys.items()])
        return answer(receipt, 202)

    return [web.post("/v1/events/{topic}", post)]
