"""The whole path on this machine: events/s, pins understood/s, feeds/s, freshness, memory of each process.

Starts an engine of its own in ``.pinstream/bench``, measures, stops it. Figures hold for the machine and the sizes
that are printed with them; compare only runs on one machine.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import click
import orjson
import psutil

from infra import supervisor
from streams.cli.demo_counts import counts, events_counted
from streams.cli.running import EngineFailed, Worker, home_of_its_own, running
from streams.cli.simulate import MANIFEST, simulated_world
from streams.cli.tables import table
from streams.settings import Settings
from streams.traffic.lines import Line
from streams.traffic.replay import Account, replay
from streams.traffic.sample import PINS, Sample
from streams.traffic.simulate import EVENTS_PER_SLATE, traffic
from streams.traffic.watch import Watch

POLL_SECONDS = 0.5
STALLED_SECONDS = 120.0
#: Slates count as over when none came for so long.
QUIET_SECONDS = 3.0
PINNERS = 2_000
DAYS = 14


@dataclass(frozen=True)
class Row:
    """One measured figure and what it was measured over."""

    what: str
    value: float | None
    unit: str
    over: str


@click.command("engine")
@click.option("--events", default=200_000, show_default=True, help="Engagement events of the throughput run.")
@click.option("--pins", default=100, show_default=True, type=click.IntRange(1, 350), help="Photos to understand.")
@click.option("--rate", default=300.0, show_default=True, help="Events a second while freshness is measured.")
@click.option("--seconds", default=20.0, show_default=True, help="How long freshness is measured.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object instead of a table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON object here as well.")
def command(events: int, pins: int, rate: float, seconds: float, as_json: bool, out: Path | None) -> None:
    """Measure events/s, pins understood/s, slates/s, freshness and memory of an engine of its own."""
    installed = Settings.load()
    try:
        settings = home_of_its_own(installed, "bench")
        with running(settings, installed, lambda line: click.echo(line, err=True)) as worker:
            rows = measure(settings, worker, events=events, pins=pins, rate=rate, seconds=seconds)
    except EngineFailed as error:
        raise click.ClickException(str(error)) from None
    machine = {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "processor": platform.machine(),
        "python": platform.python_version(),
    }
    figures = orjson.dumps({"machine": machine, "figures": [asdict(row) for row in rows]})
    if as_json:
        click.echo(figures)
    else:
        click.echo(f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['processor']}")
        cells = [(row.what, _shown(row.value), row.unit, row.over) for row in rows]
        click.echo(table(("what", "value", "unit", "over"), cells))
    if out:
        out.write_bytes(figures)


def measure(settings: Settings, worker: Worker, *, events: int, pins: int, rate: float, seconds: float) -> list[Row]:
    """Every figure, one after another on a running engine. Raises EngineFailed."""
    with Watch(settings) as watch:
        return [
            _pins(settings, worker, watch, pins),
            *_throughput(settings, worker, watch, events),
            *_freshness(settings, worker, watch, rate, seconds),
            *_memory(settings, worker),
        ]


def _pins(settings: Settings, worker: Worker, watch: Watch, pins: int) -> Row:
    """From the first pin sent to the last one understood."""
    account = Account()
    started = time.monotonic()
    replay(islice(Sample().lines(PINS, account=account), pins), settings, account)
    _until(lambda: len(watch.seen.understood) + watch.seen.dead.total() >= pins, worker, "pins understood")
    taken = time.monotonic() - started
    objects = counts(settings).objects
    return Row("pins understood", len(watch.seen.understood) / taken, "pins/s", f"{pins} photos, {objects} objects")


def _throughput(settings: Settings, worker: Worker, watch: Watch, events: int) -> list[Row]:
    """As fast as it goes: until every event is counted in ClickHouse, and until the slates are done."""
    lines = list(_traffic("throughput", events))
    before, slates = events_counted(settings), len(watch.seen.slates)
    account = Account(read=len(lines))
    started = time.monotonic()
    replay(lines, settings, account)
    if not account.complete:
        raise EngineFailed(f"{account.failed} events were not delivered: {account.errors}")
    _until(lambda: events_counted(settings) >= before + len(lines), worker, "events counted")
    taken = time.monotonic() - started
    _quiet(watch, worker)
    made = len(watch.seen.slates) - slates
    until_last = max(time.monotonic() - started - QUIET_SECONDS, 1e-6)
    over = f"{len(lines):,} events of {PINNERS:,} pinners, sent at {account.delivered / account.seconds:,.0f}/s"
    return [
        Row("events, sent to counted", len(lines) / taken, "events/s", over),
        Row("slates under that load", made / until_last, "slates/s", f"{made:,} slates until the last was out"),
    ]


def _freshness(settings: Settings, worker: Worker, watch: Watch, rate: float, seconds: float) -> list[Row]:
    """From a pinner's act in Kafka to their slate, at a steady rate."""
    lines = list(_traffic("freshness", int(rate * seconds)))
    first = int(time.time() * 1000)
    replay(lines, settings, Account(read=len(lines)), rate=rate)
    last = int(time.time() * 1000)
    _quiet(watch, worker)
    slates = sum(first <= slate.trigger_logged <= last for slate in watch.seen.slates)
    found = watch.seen.freshness(first, last)
    over = f"{slates:,} slates at {rate:,.0f} events/s for {(last - first) / 1000:.0f} s"
    return [
        Row("slates at a steady rate", slates / ((last - first) / 1000), "slates/s", over),
        *(Row(f"freshness {name}", value, "ms", over) for name, value in found.items()),
    ]


def _memory(settings: Settings, worker: Worker) -> list[Row]:
    """Resident memory of each process, children included."""
    process = psutil.Process(worker.process.pid)
    own = sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])
    sizes = {"worker": own} | {part.name: part.resident_bytes or 0 for part in supervisor.status(settings)}
    return [Row(f"memory of {name}", size / 2**20, "MiB", "resident, at the end") for name, size in sizes.items()]


def _traffic(name: str, events: int) -> Iterator[Line]:
    """About so many simulated events, new ones on every call."""
    photos = orjson.loads(MANIFEST.read_bytes())
    end = int(time.time() * 1000)
    world = simulated_world(photos, name=f"bench-{name}-{end}", pins=len(photos), pinners=PINNERS, days=DAYS, seed=1)
    return traffic(world, slates=max(1, round(events / EVENTS_PER_SLATE)), days=DAYS, end=end)


def _until(done: Callable[[], bool], worker: Worker, what: str) -> None:
    deadline = time.monotonic() + STALLED_SECONDS
    while not done():
        worker.check()
        if time.monotonic() > deadline:
            raise EngineFailed(f"{what}: not done after {STALLED_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


def _quiet(watch: Watch, worker: Worker) -> None:
    """Wait until no slate has come for a while."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        worker.check()
        if (now := len(watch.seen.slates)) != last:
            last, since = now, time.monotonic()
        time.sleep(POLL_SECONDS)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


if __name__ == "__main__":
    command()
