"""Hostile records for every topic that a worker reads: seeded, so that a run can be had again."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from operators.events import EARLIEST
from operators.parsing import MAX_BYTES
from tests.fuzz.mutation import mutated

#: Of a hundred records, how many go where. A pin costs a worker a thousand times what a click does.
SHARES = {"saves": 35, "clicks": 32, "impressions": 32, "pins": 0.3, "pinners": 0.5, "crops": 1, "pins.accepted": 0.2}
#: Kafka refuses records without a key on these.
COMPACTED = frozenset({"pins", "pins.accepted"})
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415478da63f8cfc00000030101"
        "00c9fe92ef0000000049454e44ae426082"
    )
).decode()
IMAGES = (
    None, None, None, "", "data:", "data:image/png;base64,AAAA", "data:image/png;base64,%%%", "file:///etc/passwd",
    "file:///../../x", "http://127.0.0.1:1/x.png", "http://[::1]:1/x", "http://169.254.169.254/latest", "ftp://x/y",
    "\0", "http://", "http://\x00", "data:image/png;base64," + PIXEL, "data:image/svg+xml,<svg/>",
)  # fmt: skip
HUGE = (2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, -1, 0, -(2**63), 1e308, 0.1)
STRANGE: tuple[Any, ...] = (None, True, [], {}, "", "0", "012", "\0", "\ud83d\ude00", "x" * 300, [1], {"a": 1}, *HUGE)


class Record(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def records(seed: int, count: int) -> Iterator[Record]:
    """So many records, the same for the same seed but for the times in them, which are near now."""
    chance = random.Random(seed)
    now = int(time.time() * 1000)
    topics, weights = list(SHARES), list(SHARES.values())
    earlier: dict[str, bytes] = {}
    for topic in chance.choices(topics, weights, k=count):
        value = _value(topic, now, chance, earlier.get(topic))
        if value is not None and len(value) < 4096 and chance.random() < 0.1:
            earlier[topic] = value
        yield Record(topic, _key(topic, chance), value, _headers(chance))


def _value(topic: str, now: int, chance: random.Random, earlier: bytes | None) -> bytes | None:
    event = _event(topic, now, chance)
    way = chance.random()
    if way < 0.35:
        return json.dumps(event).encode()
    if way < 0.45:  # what was sent before, as it was or nearly
        value = earlier or b"{}"
        return value if chance.random() < 0.5 else value + b" "
    if way < 0.75:
        # A mutated address might name a real host.
        event.pop("image", None)
        return mutated(json.dumps(event).encode(), chance)
    return chance.choice(WAYS)(event, topic, chance)


def _event(topic: str, now: int, chance: random.Random) -> dict[str, Any]:
    event: dict[str, Any] = {"time": now - int(chance.expovariate(1e-7))}
    pin, pinner = chance.randint(1, 20_000), chance.randint(1, 3_000)
    if chance.random() < 0.3:
        event["event_id"] = chance.choice((chance.getrandbits(62) + 1, f"{chance.getrandbits(128):032x}"))
    if topic in ("pins", "pins.accepted"):
        event |= {
            "pin": pin,
            "title": chance.choice(("", "a shoe", "\ud83d\ude00" * 50, "\0")),
            "link": "https://a.example/x",
        }
        event["image"] = chance.choice(IMAGES)
        if topic == "pins.accepted":
            return event | {"version": event["time"], "deleted": chance.random() < 0.1}
        return event | {
            "type": chance.choice(("created", "updated", "deleted")),
            "pinner": pinner,
            "board": pin % 90 + 1,
        }
    event["pinner"] = pinner
    if topic == "pinners":
        kind = chance.choice(("signed_up", "interests", "followed", "unfollowed"))
        # Erasing rewrites tables: once in a while is enough.
        event["type"] = "deleted" if chance.random() < 0.002 else kind
        return event | {"pinners": [chance.randint(1, 3_000) for _ in range(3)], "interests": ["shoes", "\0"]}
    if topic == "crops":
        corners = [
            chance.uniform(-0.02, 0.5),
            chance.uniform(-0.02, 0.5),
            chance.uniform(0.3, 1.02),
            chance.uniform(0.3, 1.02),
        ]
        return event | {
            "pin": pin,
            "box": chance.choice((corners, corners, corners, corners[:3], [*corners, 1], [1e400] * 4)),
        }
    event |= {"pin": pin, "position": chance.randint(0, 60), "surface": chance.choice(("home", "search", "related"))}
    if topic == "saves":
        event["board"] = chance.randint(1, 900)
    if topic == "clicks":
        event["type"] = chance.choice(("closeup", "outbound", "hide"))
    return event


def _strange_field(event: dict[str, Any], _topic: str, chance: random.Random) -> bytes:
    return json.dumps({**event, chance.choice(list(event)): chance.choice(STRANGE)}).encode()


def _without_field(event: dict[str, Any], _topic: str, chance: random.Random) -> bytes:
    del event[chance.choice(list(event))]
    return json.dumps(event).encode()


def _cut(event: dict[str, Any], _topic: str, chance: random.Random) -> bytes:
    value = json.dumps(event).encode()
    return value[: chance.randrange(len(value))]


def _deep(event: dict[str, Any], _topic: str, chance: random.Random) -> bytes:
    depth = chance.choice((10, 500, 1_100, 30_000))
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
    deep = opening * depth + b"1" + closing * chance.choice((depth, depth, 0))
    return json.dumps(event).encode()[:-1] + b',"deep":' + deep + b"}"


def _twice(event: dict[str, Any], _topic: str, chance: random.Random) -> bytes:
    """The same key twice, with another value."""
    name = chance.choice(list(event))
    again = json.dumps({name: chance.choice((event[name], *STRANGE))}).encode()
    return json.dumps(event).encode()[:-1] + b"," + again[1:]


def _garbage(_event: dict[str, Any], _topic: str, chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((1, 7, 100, 5_000)))


def _not_utf8(event: dict[str, Any], _topic: str, chance: random.Random) -> bytes:
    bad = chance.choice((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\x80"))
    return json.dumps({**event, "title": "@", "note": "@"}).encode().replace(b"@", bad)


def _enormous(event: dict[str, Any], topic: str, chance: random.Random) -> bytes:
    """Up to, at and beyond the topic's limit."""
    limit = MAX_BYTES[topic]
    if chance.random() > 0.02:
        return json.dumps({**event, "event_id": "x" * chance.choice((129, 2_000, 20_000))}).encode()
    wanted = limit + chance.choice((-1_000, -1, 0, 1, 1_000))
    empty = len(json.dumps({**event, "description": ""}))
    return json.dumps({**event, "description": "x" * max(0, wanted - empty)}).encode()


def _old_or_early(event: dict[str, Any], _topic: str, chance: random.Random) -> bytes:
    day = 86_400_000
    moments = (EARLIEST, EARLIEST - 1, event["time"] + 2 * day, event["time"] // 1000, 253_402_300_799_999)
    return json.dumps({**event, "time": chance.choice(moments), "v": chance.choice((1, 2, 2**31 - 1, 2**31))}).encode()


def _nothing(_event: dict[str, Any], _topic: str, chance: random.Random) -> bytes | None:
    return chance.choice((None, b"", b" \n\t", b"null", b"[]", b"0", b'""', b"{}"))


WAYS: tuple[Callable[[dict[str, Any], str, random.Random], bytes | None], ...] = (
    _strange_field, _strange_field, _strange_field, _without_field, _cut, _deep, _twice, _garbage, _not_utf8, _enormous,
    _old_or_early, _nothing,
)  # fmt: skip


def _key(topic: str, chance: random.Random) -> bytes | None:
    if chance.random() < 0.9:
        return b"%d" % chance.randint(1, 3_000)
    odd = (b"", b"\xff\xfe", b"k" * 5_000, "\ud83d\ude00".encode("utf-8", "surrogatepass"), b"\0")
    return chance.choice(odd if topic in COMPACTED else (*odd, None))


def _headers(chance: random.Random) -> list[tuple[str, bytes | None]]:
    if chance.random() < 0.95:
        return []
    odd: list[tuple[str, bytes | None]] = [("", b""), ("h" * 2_000, None), ("trace", b"\xff" * 3_000), ("é\0", b"\0")]
    return chance.sample(odd, chance.randint(1, 4))
