"""The slate: what goes out on ``feed.candidates`` and into ClickHouse's ``slates``. ``docs/slates.md`` shows one."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.identity import combined_id


class Stage(msgspec.Struct, frozen=True, rename={"came_in": "in", "went_out": "out"}):
    """One step: how many pins came in and went out, and how long it took (shared by all slates made together)."""

    name: str
    came_in: int
    went_out: int
    milliseconds: float


class Probabilities(msgspec.Struct, frozen=True):
    """What the ranker expects if the pinner looks at the pin."""

    save: float
    closeup: float
    outbound_click: float
    hide: float


class Item(msgspec.Struct, frozen=True):
    """One place. ``score`` is the utility; without a ranker ``probabilities`` is null and it is from ``unranked``.

    ``propensity`` is the probability of this pin at this place, given the slate's candidates and their order without
    exploration; ``explored`` says that the place was given to a pin that too few have seen.
    """

    pin: int
    score: float
    sources: dict[str, float]
    probabilities: Probabilities | None = None
    propensity: float = 1.0
    explored: bool = False


class Slate(msgspec.Struct, frozen=True, kw_only=True):
    """Ranked pins for one pinner, and how they came about. Times are milliseconds since the epoch."""

    slate: int
    pinner: int
    trigger_event: int
    #: Stream time that the slate was made for.
    now: int
    #: Kafka's timestamp of the trigger, and the clock when the slate was done.
    trigger_logged: int
    emitted: int
    #: How old the trigger was when the slate was done: ``emitted - trigger_logged``.
    freshness_ms: int = 0
    items: list[Item]
    #: Model → version that scored.
    models: dict[str, str] = {}
    #: What failed or ran out of time: ``source.<name>``, ``vectors``, ``ranker``.
    degraded: list[str] = []
    #: What the slate leans on where nothing better was left: ``popular``, ``repeats``.
    fallback: list[str] = []
    seed: int
    #: Source → its share of the candidates, in whole numbers.
    shares: dict[str, int] = {}
    stages: list[Stage] = []
    #: Filter → how many candidates it dropped, and some of them by name.
    dropped: dict[str, int] = {}
    dropped_pins: dict[str, list[int]] = {}
    #: What the ranker saw of each place: ``(places, F)`` float32, little-endian (in JSON: base64); empty without one.
    features: bytes = b""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Slate)


def slate_id(pinner: int, trigger_event: int) -> int:
    """The slate's name: the same trigger made twice is the same slate."""
    return combined_id("slate", pinner, trigger_event)


def with_features(slate: Slate, seen: NDArray[np.float32]) -> Slate:
    """The slate with what the ranker saw of its places, ``(places, F)``: for learning from it later."""
    return msgspec.structs.replace(slate, features=seen.astype("<f4").tobytes())


def features_of(slate: Slate) -> NDArray[np.float32]:
    """``(places, F)``; ``(0, 0)`` of a slate that says nothing of it."""
    if not slate.features or not slate.items:
        return np.empty((0, 0), np.float32)
    return np.frombuffer(slate.features, "<f4").reshape(len(slate.items), -1)


def encode(slate: Slate) -> bytes:
    """JSON for ``feed.candidates``."""
    return _ENCODER.encode(slate)


def decode(value: bytes) -> Slate:
    """What :func:`encode` wrote. Raises msgspec.ValidationError for anything else."""
    return _DECODER.decode(value)
