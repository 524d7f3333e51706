"""Judging later: pins that the safety model could not be asked about get their score once it is back.

Which those are stands in ClickHouse, so nothing has to be remembered over a restart. One worker of the group looks at
a few of them at a time, the oldest first, and rests in between; no batch waits for it.
"""

from __future__ import annotations

import logging
from collections import deque
from time import monotonic
from typing import NamedTuple

import numpy as np

from operators.accepted import AcceptedPin
from streams import pin_safety
from streams.engine import Engine
from streams.images.load import load_images
from streams.stores.protocols import StoreUnavailable

log = logging.getLogger(__name__)
#: Pins looked at together, and ids read at a time.
STEP, PAGE = 8, 2_000
#: After a step it rests for so many times what the step took, so that new pins and photos have the models, too.
RESTS, RESTS_BEHIND = 3.0, 9.0
#: Seconds until it is looked again for pins without a score, at least; of the time, at most this share goes into that.
LOOK, LOOKING = 30.0, 0.01
#: Seconds until a picture that was gone is tried again.
AGAIN = 3600.0

#: Pins in the version that was understood last and is newest, whose picture may be had again and has no score.
_WAITING = f"""
SELECT pin, version, count() OVER () AS waiting FROM
(
    SELECT pin, version FROM pin_vectors FINAL
    WHERE notEmpty(vector) AND (pin, version) NOT IN (SELECT pin, version FROM safety FINAL)
)
WHERE (pin, version) IN (SELECT pin, version FROM pins FINAL WHERE deleted = 0 AND image NOT IN ('', 'inline'))
  AND (version, pin) > ({{version:Int64}}, {{pin:Int64}})
ORDER BY version, pin LIMIT {PAGE}
"""
_IMAGES = "SELECT pin, version, image FROM pins FINAL WHERE pin IN {pins:Array(Int64)} AND deleted = 0"


class Unjudged(NamedTuple):
    """A pin without a score; ``version`` is the milliseconds of its event, so that the oldest come first."""

    version: int
    pin: int


FIRST = Unjudged(np.iinfo(np.int64).min, 0)


class Judging:
    """The work of the one worker that leads. What it holds in memory may be lost at any moment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        #: Those to look at next, the last one read of this round, and all that wait.
        self._page, self._after, self._waiting = deque[Unjudged](), FIRST, 0
        #: Seconds that reading took.
        self._took = 0.0
        #: Whose picture was not to be had, and until when (monotonic seconds) it is not asked for.
        self._gone: dict[Unjudged, float] = {}

    async def work(self) -> float:
        """Judge a few of the pins that wait; returns for how many seconds to rest then.

        Raises:
            StoreUnavailable: a part is gone; the next call goes on.
        """
        began = monotonic()
        if not self._page and not await self._read():
            return self.pause
        some = [self._page.popleft() for _ in range(min(STEP, len(self._page)))]
        try:
            judged = await self._judge(some)
        except StoreUnavailable:
            self._begin_anew()
            raise
        if not judged:
            self._begin_anew()
            return self.pause
        self._waiting -= len(some)
        self._engine.metrics.unjudged(self._waiting)
        return (monotonic() - began) * (RESTS_BEHIND if self._engine.pace.pressed else RESTS)

    @property
    def pause(self) -> float:
        """Seconds until the next round."""
        return max(LOOK, self._took / LOOKING)

    def stand_down(self) -> None:
        """Another worker leads."""
        if self._waiting or self._page:
            self._begin_anew()
            self._waiting = 0
            self._engine.metrics.unjudged(0)

    def _begin_anew(self) -> None:
        self._page.clear()
        self._after = FIRST

    async def _read(self) -> bool:
        """The next pins of this round; false at its end."""
        began, first = monotonic(), self._after == FIRST
        rows = await self._engine.events.query(_WAITING, self._after._asdict())
        pairs = zip(rows["version"].tolist(), rows["pin"].tolist(), strict=True) if rows else ()
        found = [Unjudged(*pair) for pair in pairs]
        self._took = monotonic() - began
        self._gone = {one: until for one, until in self._gone.items() if until > began}
        if first:
            self._waiting = max(0, int(rows["waiting"][0]) - len(self._gone)) if rows else 0
            self._engine.metrics.unjudged(self._waiting)
        self._after = found[-1] if found else FIRST
        self._page.extend(one for one in found if one not in self._gone)
        return bool(self._page)

    async def _judge(self, some: list[Unjudged]) -> bool:
        """Score some pins; false while there is no model."""
        engine, models = self._engine, self._engine.models
        versions = await models.versions()
        if "safety" not in versions or models.judging.rests:
            return False
        rows = await engine.events.query(_IMAGES, {"pins": [one.pin for one in some]})
        names = ("version", "pin", "image")
        images = {
            Unjudged(version, pin): image
            for version, pin, image in (zip(*(rows[name].tolist() for name in names), strict=True) if rows else ())
        }
        # One that changed meanwhile is on its way through vision.
        some = [one for one in some if one in images]
        pictures = await load_images(engine.settings, [images[one] for one in some])
        there = {one: each for one, each in zip(some, pictures, strict=True) if isinstance(each, np.ndarray)}
        scores = await models.judge(list(there.values()))
        seen = [
            (AcceptedPin(pin=one.pin, version=one.version), True, score)
            for one, score in zip(there, scores, strict=True)
        ]
        await pin_safety.keep(engine.state.safety, engine.events, seen, versions["safety"])
        judged = {Unjudged(pin.version, pin.pin) for pin, _, score in seen if score is not None}
        self._gone |= dict.fromkeys((one for one in some if one not in judged), monotonic() + AGAIN)
        return True


async def lead(judging: Judging) -> float:
    """As :meth:`Judging.work`; what fails is told and tried again later."""
    try:
        return await judging.work()
    except StoreUnavailable as error:
        log.info("pins without a safety score wait: %s", error)
        return judging.pause
