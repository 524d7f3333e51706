"""Convolving: pins get a vector of their neighbourhood after they were understood, and again when that changes.

Every worker sees to the pins that it understood itself; the one that leads finds all others, in ClickHouse and by a
look at the live graph, so nothing has to be remembered over a restart. No batch waits for it.
"""

from __future__ import annotations

import logging
from time import monotonic, time_ns
from typing import NamedTuple

import numpy as np

from operators.batch import Ints
from operators.graph.standing import Standing, changed_enough, standing
from operators.id_index import IdIndex, grown
from streams.engine import Engine, as_it_serves
from streams.pinsage import COLLECTION, PinSage
from streams.pinsage_seen import look
from streams.stores.protocols import StoreUnavailable
from streams.stores.triton import ENCODER

log = logging.getLogger(__name__)
#: Pins seen to together, ids read at a time, pins whose standing is looked at together.
STEP, PAGE, SCAN = 8, 2_000, 50_000
#: After a step it rests for so many times what the step took, so that feeds have the worker, too; while slates or
#: counting are pressed, so many seconds at least.
RESTS, RESTS_BEHIND, LEAST_BEHIND = 1.0, 9.0, 1.0
#: Seconds between looks at the queue and at the graph; and, at least, between looks into ClickHouse, of whose time at
#: most this share goes into that.
IDLE, LOOK, LOOKING = 0.5, 30.0, 0.01
GONE = ""

_HAVE = "SELECT pin, boards, standing FROM pinsage FINAL WHERE model = {model:String}"
_LACK = f"""
SELECT pin, version, count() OVER () AS waiting FROM pin_vectors FINAL WHERE notEmpty(vector)
AND (pin, version) NOT IN (SELECT pin, version FROM pinsage FINAL WHERE model = {{model:String}})
AND (version, pin) > ({{version:Int64}}, {{pin:Int64}}) ORDER BY version, pin LIMIT {PAGE}
"""
_OVER = f"""
SELECT pin FROM pinsage FINAL WHERE model != '' AND pin NOT IN
(SELECT pin FROM pin_vectors FINAL WHERE notEmpty(vector)) LIMIT {PAGE}
"""


class After(NamedTuple):
    """The last pin of a page."""

    version: int
    pin: int


FIRST = After(np.iinfo(np.int64).min, 0)


class Convolving:
    """The work of one worker; what it holds in memory may be lost at any moment."""

    def __init__(self, engine: Engine, pinsage: PinSage) -> None:
        self._engine, self._pinsage = engine, pinsage
        self._model, self._leads, self._after, self._next_look = "", False, FIRST, 0.0
        #: Where pins stood when they got their vector, as who leads knows it.
        self._known, self._scanned = IdIndex(), 0
        self._boards = self._sums = np.zeros(0, np.int64)

    async def work(self, leads: bool) -> float:
        """See to a few pins; returns for how many seconds to rest then.

        Raises:
            StoreUnavailable: a part is gone; the next call goes on.
        """
        began, engine = monotonic(), as_it_serves(self._engine)
        versions = await engine.models.versions(at_most_old=LOOK)
        # Vectors of another encoder mean nothing to this network: it waits until it is taught anew.
        if "pinsage" not in versions or engine.encoder != ENCODER:
            return LOOK
        model = f"{versions['pinsage']} on {versions.get(ENCODER, '')}"
        if model != self._model or not leads:
            self._model, self._leads, self._after, self._next_look = model, False, FIRST, 0.0
        if leads:
            await self._lead(began)
        pins = self._pinsage.take(STEP)
        if not pins:
            return IDLE
        try:
            await self._see_to(engine, np.array(pins, np.int64))
        except StoreUnavailable:
            self._pinsage.give_back(pins)
            raise
        self._pinsage.tell()
        took = monotonic() - began
        return max(LEAST_BEHIND, took * RESTS_BEHIND) if engine.pace.pressed else took * RESTS

    async def _lead(self, began: float) -> None:
        """Queue pins that other workers left, that stand elsewhere now, or that are gone."""
        asked, events = {"model": self._model}, self._engine.events
        if began >= self._next_look and len(self._pinsage) < PAGE:
            if not self._leads:
                self._learn(await events.query(_HAVE, asked))
            self._leads = True
            over = await events.query(_OVER)
            lack = await events.query(_LACK, asked | self._after._asdict())
            pins = lack["pin"].tolist() if lack else []
            self._pinsage.arrived([*(over["pin"].tolist() if over else []), *pins])
            self._pinsage.tell(int(lack["waiting"][0]) - len(pins) if lack else 0)
            # A page that was full is not all; at the end it begins anew, with those that could not be seen to.
            full = len(pins) == PAGE
            self._after = After(int(lack["version"][-1]), pins[-1]) if full else FIRST
            self._next_look = monotonic() + (0.0 if full else max(LOOK, (monotonic() - began) / LOOKING))
        n = len(self._known)
        part = slice(self._scanned, min(n, self._scanned + SCAN))
        self._scanned = part.stop if part.stop < n else 0
        pins = np.array(self._known.ids[part])
        then = Standing(self._boards[part], self._sums[part])
        now = standing(self._engine.state.board_graph, pins)
        gone = self._engine.state.catalogue.is_deleted(pins) & (then.boards >= 0)
        again = changed_enough(then, now) & (then.boards >= 0) | gone
        if again.any():
            self._pinsage.arrived(pins[again].tolist())

    async def _see_to(self, engine: Engine, pins: Ints) -> None:
        deleted = engine.state.catalogue.is_deleted(pins)
        seen = await look(engine, pins[~deleted])
        gone = pins[deleted]
        if seen is not None:
            asked = seen.graph.pins[: seen.graph.asked]
            with engine.metrics.store("triton", "convolve"):
                vectors = await engine.models.convolve(
                    seen.features, seen.graph.neighbours, seen.graph.weights, seen.graph.asked
                )
            versions = engine.state.catalogue.versions(asked)
            await self._pinsage.vectors.prepare(vectors.shape[1])
            await self._pinsage.vectors.upsert(COLLECTION, asked, vectors, {"version": versions})
            await self._note(asked, versions, seen.now, self._model)
            # Deleted meanwhile: what was just written goes, too.
            gone = np.union1d(gone, asked[engine.state.catalogue.is_deleted(asked)])
        # Not those whose encoder's vector is only on its way.
        blind = np.setdiff1d(pins[~deleted], seen.graph.pins[: seen.graph.asked] if seen else pins[:0])
        if len(blind):
            rows = await engine.events.query(
                "SELECT pin FROM pin_vectors FINAL WHERE pin IN {pins:Array(Int64)} AND empty(vector)",
                {"pins": blind.tolist()},
            )
            gone = np.union1d(gone, rows["pin"] if rows else blind[:0])
        if len(gone):
            await self._pinsage.vectors.delete(COLLECTION, gone)
            nowhere = np.full(len(gone), -1, np.int64)
            await self._note(gone, engine.state.catalogue.versions(gone), Standing(nowhere, nowhere), GONE)
        self._pinsage.changed(pins)

    async def _note(self, pins: Ints, versions: Ints, now: Standing, model: str) -> None:
        n = len(pins)
        columns = {
            "pin": pins, "version": versions, "boards": now.boards, "standing": now.sums, "model": [model] * n,
            "changed": np.full(n, time_ns() // 1_000_000),
        }  # fmt: skip
        await self._engine.events.insert("pinsage", columns)
        if self._leads:
            self._remember(pins, now)

    def _learn(self, rows: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
        self._known, self._scanned = IdIndex(), 0
        if rows:
            self._remember(rows["pin"], Standing(rows["boards"], rows["standing"]))

    def _remember(self, pins: Ints, now: Standing) -> None:
        # Arrow's columns are read-only, for which numba would compile every kernel again.
        at = self._known.intern(np.array(pins, np.int64))
        self._boards, self._sums = grown(self._boards, len(self._known)), grown(self._sums, len(self._known))
        self._boards[at], self._sums[at] = now.boards, now.sums


async def convolve(convolving: Convolving, leads: bool) -> float:
    """As :meth:`Convolving.work`; what fails is told and tried again later."""
    try:
        return await convolving.work(leads)
    except StoreUnavailable as error:
        log.info("pins without a PinSage vector wait: %s", error)
        return max(1.0, error.retry_after)
    except ValueError as error:
        log.warning("pins get no PinSage vector: %s", error)
        return LOOK
