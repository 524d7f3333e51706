"""Related pins: what people put on the same boards, where walks over boards lead, and what looks alike, joined by rank.

Boards know best what belongs together, but only of pins that people have saved; looks are known of every pin that
was understood. Scores of these have nothing in common, so places are joined (reciprocal rank fusion).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from itertools import zip_longest
from typing import NamedTuple

import msgspec
import numpy as np

from operators.batch import Ints
from operators.fusion import fuse
from operators.slate.candidates import NOTHING, Found
from operators.vision.rolled_up import first_of_each
from streams.engine import Engine, as_it_serves
from streams.pin_safety import showable
from streams.pinsage_related import pinsage
from streams.slate_sources import HOW, best_of
from streams.stores.protocols import StoreUnavailable

#: Pins that each source proposes for one in the answer, so that both have a say and deleted ones can go.
DEPTH = 4
SOURCE_SECONDS = 2.0
SAME_BOARDS = ("boards", "walks")


class RelatedPin(msgspec.Struct, frozen=True):
    """A related pin; ``score`` joins the sources by their ranks, ``sources`` has each one's own score."""

    pin: int
    score: float
    sources: dict[str, float]


class Related(NamedTuple):
    """Related pins, best first, and the sources that could not be asked."""

    pins: list[RelatedPin]
    degraded: list[str]


async def boards(engine: Engine, pin: int, k: int) -> Found:
    """Pins that stand on the same boards, from the live board graph."""
    found = engine.state.board_graph.related(np.array([pin], np.int64), np.ones(1), k)
    return Found(found.pins, found.scores.astype(np.float32))


async def walks(engine: Engine, pin: int, k: int) -> Found:
    """Pins that random walks from this one visit most: Pixie over the live board graph. One graph, one answer."""
    found = engine.state.board_graph.walk(np.array([pin], np.int64), np.ones(1), k, seed=pin, how=HOW)
    return Found(found.pins, found.scores.astype(np.float32))


async def visual(engine: Engine, pin: int, k: int) -> Found:
    """Pins that look alike, by cosine; none before the pin is understood. Raises StoreUnavailable."""
    itself = np.array([pin], np.int64)
    await engine.vector_cache.load(itself)
    vectors, known = engine.vector_cache.held(itself)
    if not known.all():
        return NOTHING
    near = await engine.vectors.search("pins", vectors.astype(np.float32), k + 1)
    real = near.ids[0] > 0
    return best_of(near.ids[0][real], near.scores[0][real], k, without=itself)


SOURCES: Mapping[str, Callable[[Engine, int, int], Awaitable[Found]]] = {
    "boards": boards,
    "visual": visual,
    "walks": walks,
    "pinsage": pinsage,
}


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
    fused = fuse(_witnesses(found), sum(map(len, found.values())))
    pictures = engine.state.pictures.canonicals
    rows = first_of_each(pictures(fused.ids), without=pictures(np.array([pin], np.int64)))[:k]
    pins = [
        RelatedPin(other, score, {name: own[other] for name, own in scores.items() if other in own})
        for other, score in zip(fused.ids[rows].tolist(), fused.scores[rows].tolist(), strict=True)
    ]
    return Related(pins, sorted(failed))


def _witnesses(found: Mapping[str, Found]) -> list[Ints]:
    """Rankings that are joined. Boards and walks look at the same boards, so they are one: each one's best in turns."""
    rankings = [each.pins for name, each in found.items() if name not in SAME_BOARDS]
    of_boards = [found[name].pins.tolist() for name in SAME_BOARDS if name in found]
    if of_boards:
        in_turns = dict.fromkeys(pin for place in zip_longest(*of_boards) for pin in place if pin is not None)
        rankings.append(np.fromiter(in_turns, np.int64, len(in_turns)))
    return rankings


def _shown(engine: Engine, found: Found) -> Found:
    shown = showable(engine, found.pins)
    pins: Ints = found.pins[shown]
    return Found(pins, found.scores[shown])
