"""One run: load, faults by the schedule, recovery after each, and the reckoning when everything has come to rest."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from operators.identity import stable_id
from streams.settings import Settings
from streams.stores.clickhouse import ClickHouseHTTP
from streams.stores.protocols import StoreUnavailable
from tests.chaos.audit import Audit, audit
from tests.chaos.memory import differing, observed
from tests.chaos.schedule import WORKERS, Fault
from tests.chaos.stack import Stack
from tests.chaos.traffic import Load

#: Seconds. A recovery that takes longer is no recovery, and the run goes on to the reckoning, which will tell.
LONGEST_RECOVERY = 180.0
#: Nothing more is counted or understood for so long: something is stuck.
STALLED = 180.0
LOOK = 0.3


@dataclass
class Done:
    """A fault that was carried out, at ``at`` seconds of the run, and how long until what was sent after it counted.

    ``recovered`` is in seconds from the beginning of the fault until events sent to every partition afterwards are
    counted, for Milvus and Triton until a pin sent afterwards is understood; None if that never came.
    """

    fault: Fault
    at: float
    said: str
    counted: float | None = None
    understood: float | None = None

    @property
    def recovered(self) -> float | None:
        if self.said.startswith("skipped"):
            return None
        return self.understood if self.fault.part in ("milvus", "triton") else self.counted


@dataclass
class Outcome:
    seed: int
    done: list[Done] = field(default_factory=list)
    audit: Audit = field(default_factory=Audit)
    #: Where survivors' memory is otherwise than one rebuilt; told, but no part of what is exact.
    memory: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def run(
    stack: Stack, faults: Sequence[Fault], seed: int, rate: float, minutes: float, say: Callable[[str], None]
) -> Outcome:
    """Carry out ``faults`` on a running ``stack``, for at most ``minutes``, then compare everything."""
    outcome, began = Outcome(seed), time.monotonic()
    load = Load(stack.outside, seed, rate)
    load.start()
    _recover(stack, load, Done(Fault("start", "everything", 0.0), 0.0, ""), time.monotonic(), say)
    pending: list[tuple[Done, float, list[int], int]] = []
    for number, fault in enumerate(faults, 1):
        if time.monotonic() - began > minutes * 60:
            say(f"{minutes:g} minutes are over: {len(faults) - number + 1} faults are left out")
            break
        time.sleep(fault.pause)
        done = Done(fault, time.monotonic() - began, "")
        say(f"{done.at:7.1f} s  {number}/{len(faults)}  {fault}")
        at = time.monotonic()
        done.said = stack.do(fault)
        outcome.done.append(done)
        if done.said.startswith("skipped"):
            continue
        ids, pin = load.probe()
        pending.append((done, at, ids, pin))
        following = faults[number] if number < len(faults) else None
        if following is None or not following.at_once:
            _wait(stack.settings, pending, say)
            pending.clear()
    say("the load ends; waiting until everything is counted and understood")
    load.stop()
    asyncio.run(_drained(stack.settings, load, say))
    outcome.audit = asyncio.run(audit(stack.settings, load.sent))
    say("comparing the survivors' memory with one rebuilt from the ledger")
    outcome.memory = _memory(stack, load)
    outcome.skipped = stack.skipped
    outcome.restarts = dict(Counter(name for _, what, name in stack.story if what == "started"))
    outcome.seconds = time.monotonic() - began
    return outcome


def _memory(stack: Stack, load: Load) -> list[str]:
    """Both workers against the first one started afresh."""
    pins, pinners, domains = load.some()
    before = {name: observed(stack.url(name), pins, pinners, domains) for name in WORKERS}
    again = WORKERS[0]
    stack.restart(again)
    fresh = observed(stack.url(again), pins, pinners, domains)
    return [
        f"memory of {name} and one rebuilt: {line}" for name, seen in before.items() for line in differing(seen, fresh)
    ]


def _recover(stack: Stack, load: Load, done: Done, at: float, say: Callable[[str], None]) -> None:
    ids, pin = load.probe()
    _wait(stack.settings, [(done, at, ids, pin)], say)


def _wait(settings: Settings, pending: list[tuple[Done, float, list[int], int]], say: Callable[[str], None]) -> None:
    """Wait until all of these are recovered from."""
    asyncio.run(_recovered(settings, pending))
    for done, _, _, _ in pending:
        said = f"not within {LONGEST_RECOVERY:.0f} s" if done.recovered is None else f"after {done.recovered:.1f} s"
        say(f"           recovered from {done.fault} {said}")


async def _recovered(settings: Settings, pending: list[tuple[Done, float, list[int], int]]) -> None:
    store = ClickHouseHTTP(settings.clickhouse_http, timeout=10)
    deadline = time.monotonic() + LONGEST_RECOVERY
    try:
        while time.monotonic() < deadline:
            for done, at, ids, pin in pending:
                with suppress(StoreUnavailable):
                    if done.counted is None and await _count(store, "engagement", "event_id", ids) == len(ids):
                        done.counted = time.monotonic() - at
                    if done.understood is None and await _count(store, "pin_vectors", "pin", [pin]):
                        done.understood = time.monotonic() - at
            if all(done.recovered is not None for done, _, _, _ in pending):
                return
            await asyncio.sleep(LOOK)
    finally:
        await store.close()


async def _count(store: ClickHouseHTTP, table: str, key: str, ids: list[int]) -> int:
    found = await store.query(
        f"SELECT uniqExact({key}) AS n FROM {table} WHERE has({{ids:Array(Int64)}}, {key})", {"ids": ids}
    )
    return int(found["n"][0])


async def _drained(settings: Settings, load: Load, say: Callable[[str], None]) -> None:
    """Wait until the counts are what was sent, or nothing moves any more: the audit tells what is wrong then."""
    store = ClickHouseHTTP(settings.clickhouse_http, timeout=60)
    engagement = sum(topic in ("saves", "clicks", "impressions") for topic, _ in load.sent.events.values())
    newest: dict[int, int] = {}
    for topic, event in load.sent.events.values():
        if topic == "pins":
            pin = stable_id(event["pin"])
            newest[pin] = max(newest.get(pin, 0), event["time"])
    moved, before = time.monotonic(), ()
    try:
        while time.monotonic() - moved < STALLED:
            with suppress(StoreUnavailable):
                rows = await store.query("SELECT count() AS n FROM engagement")
                seen: Any = await store.query("SELECT pin, max(version) AS version FROM pin_vectors GROUP BY pin")
                versions = dict(zip(seen["pin"].tolist(), seen["version"].tolist(), strict=True)) if seen else {}
                slates = await store.query("SELECT count() AS n, max(emitted) AS at FROM slates")
                now = (
                    int(rows["n"][0]),
                    sum(versions.get(pin, 0) >= at for pin, at in newest.items()),
                    int(slates["n"][0]),
                )
                if now != before:
                    moved, before = time.monotonic(), now
                # Slates are debounced by a second or two: at rest when none came for a while.
                if now[0] >= engagement and now[1] == len(newest) and time.monotonic() - moved > 5:
                    return
            await asyncio.sleep(0.5)
        say(f"nothing moves any more: {before} of {engagement} events and {len(newest)} pins")
    finally:
        await store.close()
