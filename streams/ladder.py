"""The ladder of degradation: which parts answer, and which rung the worker stands on (``docs/degradation.md``)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Literal, get_args

from streams.circuit import Circuit, State
from streams.engine import Engine
from streams.outputs import reach

#: Seconds that a part has to answer, and for which its answer is believed.
PATIENCE = 2.0
BELIEVED = 1.0
UP = "up"

Rung = Literal["whole", "unranked", "no-neighbours", "memory"]
RUNG_NAMES: tuple[Rung, ...] = get_args(Rung)

#: The ladder, best rung first: a rung holds when all of its parts are there.
RUNGS: tuple[tuple[Rung, frozenset[str]], ...] = (
    ("whole", frozenset({"clickhouse", "kafka", "milvus", "triton"})),
    ("unranked", frozenset({"clickhouse", "kafka", "milvus"})),  # order by sources and quality; no new pins
    ("no-neighbours", frozenset({"clickhouse", "kafka"})),  # feeds and related pins without visual neighbours
    ("memory", frozenset()),  # feeds from hot state; events wait in Kafka, nothing is counted
)
#: From these parts down, the worker still answers but cannot do its work.
NEEDED = frozenset({"clickhouse", "kafka"})


def rung(up: frozenset[str]) -> Rung:
    """The best rung of the ladder that these parts carry."""
    return next(name for name, parts in RUNGS if parts <= up)


class Ladder:
    """Asks the parts of one engine; however many ask it, the parts are asked once a second."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._probes: dict[str, Callable[[], Awaitable[object]]] = {
            "clickhouse": lambda: engine.events.query("SELECT 1 AS one"),
            "kafka": lambda: reach(engine.settings.kafka_bootstrap),
            "milvus": lambda: engine.vectors.count("pins"),
            "triton": lambda: engine.models.versions(),
        }
        self._asking = asyncio.Lock()
        self._states: dict[str, str] = {}
        self._asked = -BELIEVED

    async def look(self) -> dict[str, str]:
        """Each part: ``up``, or what it said instead. Metrics are told the rung."""
        async with self._asking:
            if monotonic() - self._asked >= BELIEVED:
                found = await asyncio.gather(*(_state(probe) for probe in self._probes.values()))
                states = dict(zip(self._probes, found, strict=True))
                for circuit in (self._engine.vectors.circuit, self._engine.models.circuit):
                    if states[circuit.part] == UP and _rests(circuit):
                        states[circuit.part] = f"too slow or wrong for feeds: asked again in {circuit.rests:.1f} s"
                self._states, self._asked = states, monotonic()
                up = {part: state == UP for part, state in states.items()}
                self._engine.metrics.ladder(rung(_those(up)), RUNG_NAMES, up)
        return self._states


def _rests(circuit: Circuit) -> bool:
    """Do feeds do without the part? One whose rest is over is only not asked because nobody acts."""
    return circuit.rests > 0 or circuit.state is State.HALF_OPEN


def _those(up: dict[str, bool]) -> frozenset[str]:
    return frozenset(part for part, answers in up.items() if answers)


async def _state(probe: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await probe()
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
    except Exception as error:
        return str(error) or type(error).__name__
    return UP
