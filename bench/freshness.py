"""The freshness contract: how long after a pinner's act their new slate is out, at a steady load on the whole engine.

Starts an engine of its own in ``.pinstream/bench``: every part, Triton on whatever it finds. Pins and their pictures
are those of the shipped sample; who does what is simulated. Measured from Kafka's timestamp of the act that asked for
a slate to the slate's own on ``feed.candidates``, after a warm-up at the same load. Ends with status 1 when a promise
is not kept, or a pinner who acted got no slate.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
import orjson
import psutil
from confluent_kafka import Producer

from bench._machine import Stolen
from bench.engine import _quiet, _until
from infra import supervisor
from streams.cli.demo_counts import events_counted
from streams.cli.running import EngineFailed, Worker, home_of_its_own, running
from streams.cli.simulate import MANIFEST, simulated_world
from streams.cli.tables import table
from streams.outputs import client_config
from streams.settings import Settings
from streams.traffic.lines import Line
from streams.traffic.replay import Account, replay
from streams.traffic.sample import PINS, Sample
from streams.traffic.simulate import EVENTS_PER_SLATE, traffic
from streams.traffic.watch import Watch

#: Events a second → milliseconds that 99 of 100 slates take at most (docs/slates.md).
CONTRACT = {300: 250, 2_000: 250, 20_000: 1_000}
DAYS = 14
#: The JVM compiles while it works: a broker just started takes several times the processor time of one at work.
WARM_UP_SECONDS = 20


@click.command("freshness")
@click.option(
    "--rate", "rates", multiple=True, type=int, help="Events a second; again for more. Default: the contract's."
)
@click.option("--seconds", default=30, show_default=True, help="How long each load lasts.")
@click.option("--pinners", default=2_000, show_default=True, help="Pinners who take turns.")
@click.option("--pins", default=350, show_default=True, type=click.IntRange(1, 350), help="Photos understood before.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object instead of a table.")
def command(rates: tuple[int, ...], seconds: int, pinners: int, pins: int, as_json: bool) -> None:
    """Measure freshness at each load and compare it with what is promised."""
    installed = Settings.load()
    try:
        settings = home_of_its_own(installed, "bench")
        with running(settings, installed, lambda line: click.echo(line, err=True)) as worker, Watch(settings) as watch:
            _understand(settings, worker, watch, pins)
            found = [_at(settings, worker, watch, rate, seconds, pinners) for rate in rates or CONTRACT]
            memory = {part.name: (part.resident_bytes or 0) >> 20 for part in supervisor.status(settings)}
            memory["worker"] = psutil.Process(worker.process.pid).memory_info().rss >> 20
    except EngineFailed as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps({"cores": os.cpu_count(), "memory_mib": memory, "loads": found}))
    else:
        click.echo(table(tuple(found[0]), [tuple(str(value) for value in each.values()) for each in found]))
        click.echo(f"{os.cpu_count()} cores; memory in MiB: {memory}")
    if not all(each["kept"] for each in found):
        raise SystemExit(1)


def _understand(settings: Settings, worker: Worker, watch: Watch, pins: int) -> None:
    account = Account()
    lines = [line for _, line in zip(range(pins), Sample().lines(PINS, account=account), strict=False)]
    replay(lines, settings, account)
    click.echo(f"{pins} pins are to be understood", err=True)
    _until(lambda: len(watch.seen.understood) + watch.seen.dead.total() >= pins, worker, "pins understood")


def _at(settings: Settings, worker: Worker, watch: Watch, rate: int, seconds: int, pinners: int) -> dict[str, Any]:
    click.echo(f"{rate:,} events/s for {WARM_UP_SECONDS + seconds} s", err=True)
    lines = list(_lines(rate * (WARM_UP_SECONDS + seconds), pinners))
    before, slates = events_counted(settings), len(watch.seen.slates)
    first = int(time.time() * 1000) + WARM_UP_SECONDS * 1_000
    began, stolen = int(time.time() * 1000), Stolen()
    _send(settings, lines, rate)
    last = int(time.time() * 1000)
    _until(lambda: events_counted(settings) >= before + len(lines), worker, "events counted")
    _quiet(watch, worker)
    acted = {line.event["pinner"] for line in lines if line.topic in ("saves", "clicks")}
    made = watch.seen.slates[slates:]
    fresh = np.array([slate.freshness for slate in made if first <= slate.trigger_logged <= last])
    latest = {pinner for pinner, slate in watch.seen.newest.items() if int(slate["trigger_logged"]) >= began}
    degraded = sum(bool(slate["degraded"]) for slate in watch.seen.newest.values())
    click.echo(f"p50 of the stages of each pinner's newest slate, ms: {_stages(watch)}", err=True)
    p50, p99 = (round(float(np.percentile(fresh, q))) if len(fresh) else None for q in (50, 99))
    promised = CONTRACT.get(rate)
    return {
        "events/s": rate,
        "pinners who acted": len(acted),
        "with a slate": len(latest),
        "slates/s": round(len(made) / (WARM_UP_SECONDS + seconds), 1),
        "of newest degraded": degraded,
        "stolen %": stolen.percent(),
        "p50 ms": p50,
        "p99 ms": p99,
        "promised p99 ms": promised,
        "kept": len(latest) >= len(acted) and p99 is not None and (promised is None or p99 <= promised),
    }


def _stages(watch: Watch) -> dict[str, float]:
    """Stage → the median of what it took, milliseconds; a stage takes a whole batch of slates."""
    took: dict[str, list[float]] = {}
    for slate in watch.seen.newest.values():
        for stage in slate["stages"]:
            took.setdefault(stage["name"], []).append(stage["milliseconds"])
    return {name: round(float(np.median(each)), 1) for name, each in took.items()}


def _send(settings: Settings, lines: list[Line], rate: int) -> None:
    """Send at a steady rate, with as little work as can be: the sender shares the cores with what is measured.

    Raises EngineFailed when the broker did not take everything.
    """
    messages = [(line.topic, *line.message()) for line in lines]
    producer = Producer(client_config(settings) | {"acks": "all", "linger.ms": 10, "compression.type": "lz4"})
    began = time.monotonic()
    for number, (topic, key, value) in enumerate(messages):
        if number % max(1, rate // 100) == 0:
            producer.poll(0)
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
        producer.produce(topic, value, key)
    if left := producer.flush(30):
        raise EngineFailed(f"Kafka did not take {left} of {len(lines)} events")


def _lines(events: int, pinners: int) -> Iterator[Line]:
    photos = orjson.loads(MANIFEST.read_bytes())
    end = int(time.time() * 1000)
    world = simulated_world(photos, name=f"freshness-{end}", pins=len(photos), pinners=pinners, days=DAYS, seed=1)
    return traffic(world, slates=max(1, round(events / EVENTS_PER_SLATE)), days=DAYS, end=end)


if __name__ == "__main__":
    command()
