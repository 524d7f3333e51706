"""Related pins: what several sources find, joined by weights, and lifted by what people click more than expected.

Boards and sessions know best what belongs together, but only of pins that people have acted on; looks and words are
known of every pin that was understood. ``docs/related.md`` has the stages and what each is worth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import NamedTuple

import msgspec
import numpy as np

from operators.batch import Ints
from operators.fusion import Fused
from operators.related.blend import blend, boosted
from operators.related.memboost import related_slate
from operators.slate.candidates import Found
from operators.vision.rolled_up import first_of_each
from streams.engine import Engine, as_it_serves
from streams.pin_safety import showable
from streams.related_sources import SOURCES
from streams.stores.protocols import StoreUnavailable

#: Pins that each source proposes for one in the answer, so that all have a say and deleted ones can go.
DEPTH = 4
SOURCE_SECONDS = 2.0


class RelatedPin(msgspec.Struct, frozen=True):
    """A related pin; ``score`` joins the sources, ``sources`` has each one's own score.

    ``boost`` is the logarithm of clicks over expected clicks among this pin's related pins, 0 where nothing is known.
    """

    pin: int
    score: float
    sources: dict[str, float]
    boost: float = 0.0


class Related(NamedTuple):
    """Related pins, best first, the sources that could not be asked, and the slate that events should name."""

    pins: list[RelatedPin]
    degraded: list[str]
    slate: int


async def related(engine: Engine, pin: int, k: int, sources: Collection[str] = tuple(SOURCES)) -> Related:
    """Up to ``k`` pins related to ``pin`` that may be shown; neither it nor its near-duplicates, one of each picture.

    Raises:
        KeyError: a source that is not in :data:`SOURCES`.
        StoreUnavailable: no source could be asked.
    """
    engine = as_it_serves(engine)
    asked = {name: SOURCES[name] for name in sorted(sources)}

    async def ask(name: str) -> Found | StoreUnavailable:
        try:
            async with asyncio.timeout(SOURCE_SECONDS):
                return await asked[name](engine, pin, k * DEPTH)
        except StoreUnavailable as gone:
            engine.metrics.store_error(gone.part)
            return gone
        except TimeoutError:
            return StoreUnavailable(name, f"no answer within {SOURCE_SECONDS:g} s")

    answers = dict(zip(asked, await asyncio.gather(*map(ask, asked)), strict=True))
    failed = {name: answer for name, answer in answers.items() if isinstance(answer, StoreUnavailable)}
    if answers and len(failed) == len(answers):
        raise next(iter(failed.values()))
    found = {name: _shown(engine, each) for name, each in answers.items() if isinstance(each, Found)}
    scores = {name: dict(zip(each.pins.tolist(), each.scores.tolist(), strict=True)) for name, each in found.items()}
    fused, boosts = _boosted(engine, pin, blend(found), k)
    pictures = engine.state.pictures.canonicals
    rows = first_of_each(pictures(fused.ids), without=pictures(np.array([pin], np.int64)))[:k]
    pins = [
        RelatedPin(
            other, score, {name: own[other] for name, own in scores.items() if other in own}, boosts.get(other, 0.0)
        )
        for other, score in zip(fused.ids[rows].tolist(), fused.scores[rows].tolist(), strict=True)
    ]
    return Related(pins, sorted(failed), related_slate(pin))


def _boosted(engine: Engine, pin: int, blended: Fused, k: int) -> tuple[Fused, dict[int, float]]:
    """Clicks over expected clicks have their say, also for what no source found; the boosts of all that have one."""
    memory = engine.state.memboost
    loved: Ints = memory.best(pin, k).pins
    loved = loved[showable(engine, loved) & (loved != pin)]
    pins = np.unique(np.concatenate([blended.ids, loved]))
    boosts = memory.boosts(pin, pins)
    known = boosts != 0
    told = dict(zip(pins[known].tolist(), boosts[known].tolist(), strict=True))
    return boosted(blended, pins[known], boosts[known]), told


def _shown(engine: Engine, found: Found) -> Found:
    shown = showable(engine, found.pins)
    pins: Ints = found.pins[shown]
    return Found(pins, found.scores[shown])
