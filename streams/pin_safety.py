"""Safety of pins between the model, the table ``safety`` and memory: who is judged, what is kept, what may be shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from operators.accepted import AcceptedPin
from operators.batch import Ints
from operators.safety import Safety
from streams.engine import Engine
from streams.images.fitting import Pixels
from streams.stores.protocols import EventStore, Models, StoreUnavailable

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Columns that memory needs.
COLUMNS = "pin, version, unsafe"
Rows = Mapping[str, Sequence[Any] | NDArray[Any]]
#: Seconds that scores are waited for when everything else about a picture is known.
GRACE_SECONDS = 5.0


def showable(engine: Engine, pins: Ints) -> NDArray[np.bool_]:
    """Which pins may be shown to anybody: known, not deleted, no score above the threshold. ``(n,) -> (n,)``."""
    facts = engine.state.catalogue.facts(pins)
    return facts.known & ~facts.deleted & ~engine.state.safety.above(pins, engine.settings.unsafe_above)


async def beside(
    work: Awaitable[T], models: Models, images: Sequence[Pixels], grace: float = GRACE_SECONDS
) -> tuple[T, list[float | None]]:
    """The outcome of ``work``, and meanwhile the score of each image, None where none is to be had.

    A safety model that is missing, fails or takes ``grace`` seconds longer than ``work`` costs the scores alone.
    Raises what ``work`` raises.
    """
    judging = asyncio.create_task(_judged(models, images))
    try:
        done = await work
        await asyncio.wait([judging], timeout=grace)
        if judging.done():
            return done, judging.result()
    finally:
        judging.cancel()
    models.judging.too_slow()
    return done, [None] * len(images)


async def _judged(models: Models, images: Sequence[Pixels]) -> list[float | None]:
    try:
        return await models.judge(images)
    except StoreUnavailable as gone:
        log.debug("pictures stay without a score: %s", gone)
        return [None] * len(images)


async def keep(
    safety: Safety, events: EventStore, seen: Sequence[tuple[AcceptedPin, bool, float | None]], model: str
) -> None:
    """Keep what was judged: each pin, whether it shows a picture, and its score where the model gave one.

    A picture without a score leaves what is known of the pin as it is. May be repeated. Raises StoreUnavailable.
    """
    judged = [(pin, score) for pin, shows, score in seen if score is not None or not shows]
    if not judged:
        return
    rows: dict[str, list[Any]] = {
        "pin": [pin.pin for pin, _ in judged],
        "version": [pin.version for pin, _ in judged],
        "unsafe": [score for _, score in judged],
        "model": ["" if score is None else model for _, score in judged],
    }
    await events.insert("safety", rows)
    take(safety, rows)


def take(safety: Safety, rows: Rows) -> None:
    """Fold in rows of the table; those of older versions have no effect."""
    # As floats, None is NaN.
    scores = np.array(rows["unsafe"], np.float32)
    safety.take(np.array(rows["pin"], np.int64), np.array(rows["version"], np.int64), scores)
