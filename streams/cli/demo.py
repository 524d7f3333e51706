"""``pinstream demo``: the whole engine on the shipped sample, told as it happens."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from contextlib import redirect_stdout
from typing import Any

import click
import orjson

from infra import supervisor
from streams.cli.demo_counts import Counts, counts, events_counted
from streams.cli.demo_story import Story
from streams.cli.interrupt import stop_on_interrupt
from streams.cli.running import EngineFailed, Worker, home_of_its_own, running
from streams.recount import recount
from streams.settings import Settings
from streams.stores.clickhouse import open_event_store
from streams.traffic.replay import Account, replay
from streams.traffic.sample import PINNERS, PINS, TRAFFIC, Sample
from streams.traffic.watch import Watch

#: No slate for so long means that the feeds have caught up.
QUIET_SECONDS = 1.5
#: The last events of the sample come at a steady rate, and freshness is measured over them.
TAIL_EVENTS = 6_000
TAIL_RATE = 300.0
#: Without any progress for so long, something is wrong.
STALLED_SECONDS = 120.0
POLL_SECONDS = 0.5


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


@click.command("demo")
@click.option("--once", is_flag=True, help="Stop at the end instead of serving (also ONCE=1, or without a terminal).")
@click.option(
    "--json", "as_json", is_flag=True, help="Only the JSON object on standard output; the story on the other."
)
def command(once: bool, as_json: bool) -> None:
    """Start everything, replay the sample, show feeds changing, then serve until Ctrl-C.

    Starts from nothing in a home of its own (.pinstream/demo), which stays to be looked at until the next demo.
    Ends with one JSON object when it stops by itself. The sample's photos are real (CC0), its traffic is simulated.
    """
    once = once or as_json or os.environ.get("ONCE", "") not in ("", "0") or not sys.stdout.isatty()
    started = time.monotonic()
    installed = Settings.load()
    with stop_on_interrupt() as stop, redirect_stdout(sys.stderr if as_json else sys.stdout):
        try:
            settings = home_of_its_own(installed, "demo")
            with running(settings, installed, click.echo) as worker:
                summary = run(settings, worker, stop)
                summary["seconds"] = round(time.monotonic() - started, 1)
                if not once:
                    serve(worker, stop)
        except Stopped:
            sys.exit(130)
        except (EngineFailed, OSError) as error:
            raise click.ClickException(str(error)) from None
    click.echo(orjson.dumps(summary))
    if not (summary["recount_equal"] and summary["events_counted"] == summary["events_in"]):
        sys.exit(1)


def run(settings: Settings, worker: Worker, stop: threading.Event) -> dict[str, Any]:
    """The demo on a running engine; returns what the last line says, but for the seconds.

    Raises:
        EngineFailed: the worker ended, or nothing moved for two minutes.
        Stopped: ``stop`` was set.
    """
    sample, story, account = Sample(), Story(), Account()
    with Watch(settings, story.hear) as watch:
        story.chapter("Pins arrive: each photo is fetched, its objects are found, all of it becomes vectors")
        pins = Account()
        _send(sample.lines(PINS, PINNERS, account=pins), settings, pins, stop)
        made = pins.by_topic["pins"]
        _wait(
            lambda: len(watch.seen.understood) + watch.seen.dead.total(),
            made,
            "pins understood",
            worker,
            stop,
        )

        story.chapter("Two weeks of simulated engagement arrive")
        lines = list(sample.lines(TRAFFIC, account=account))
        _send(lines[:-TAIL_EVENTS], settings, account, stop)
        _counted(settings, account.delivered, worker, stop)

        _caught_up(watch, worker, stop)

        story.chapter(f"Live: {TAIL_EVENTS:,} more events at {TAIL_RATE:.0f} a second")
        first = int(time.time() * 1000)
        _send(lines[-TAIL_EVENTS:], settings, account, stop, rate=TAIL_RATE)
        last = int(time.time() * 1000)
        _counted(settings, account.delivered, worker, stop)

        story.chapter("A newcomer saves three pins")
        account.delivered += story.newcomer(settings, worker, watch, stop)
        found = _counted(settings, account.delivered, worker, stop)

        story.chapter("Recount: is every sum what the raw events say?")
        equal = asyncio.run(_equal(settings))
        click.echo("every aggregate equals its recount" if equal else "DIFFERENT: see `pinstream verify`")
        return {
            "events_in": account.delivered,
            "events_counted": found.events,
            "recount_equal": equal,
            "pins_understood": found.pins_understood,
            "objects": found.objects,
            "vectors": found.vectors,
            "feeds": len(watch.seen.slates),
            "dead_letters": watch.seen.dead.total(),
            "freshness_ms": watch.seen.freshness(first, last),
        }


def _caught_up(watch: Watch, worker: Worker, stop: threading.Event) -> None:
    """Wait for the slates of everybody who acted in the burst: what follows is a steady rate. Raises EngineFailed."""
    made, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        if made != len(watch.seen.slates):
            made, since = len(watch.seen.slates), time.monotonic()
        if stop.wait(0.1):
            raise Stopped
        worker.check()
    click.echo(f"  {made:,} slates made for those who acted")


def serve(worker: Worker, stop: threading.Event) -> None:
    """Stay until Ctrl-C. Raises EngineFailed when the worker ends by itself."""
    click.echo(f"\nServing at {worker.url}/v1 until Ctrl-C. In another terminal, for example:")
    click.echo(f"    pinstream feed 59        curl {worker.url}/v1/feed/59")
    click.echo(f"    pinstream related 17     curl {worker.url}/v1/pins/17/related")
    click.echo("    pinstream verify         pinstream stats pin 17")
    while not stop.wait(0.5):
        worker.check()


def _send(lines: Any, settings: Settings, account: Account, stop: threading.Event, rate: float = 0.0) -> None:
    """Replay lines into ``account``, which may have been used before. Raises EngineFailed when one is lost."""
    part = Account()
    replay(lines, settings, part, rate=rate, stop=stop)
    account.delivered += part.delivered
    account.by_topic.update(part.by_topic)
    if stop.is_set():
        raise Stopped
    if part.failed or account.bad:
        raise EngineFailed(f"{part.failed} events were not delivered: {'; '.join(part.errors + account.errors)}")
    click.echo(f"{part.delivered:,} events delivered in {part.seconds:.1f} s ({part.delivered / part.seconds:,.0f}/s)")


def _counted(settings: Settings, wanted: int, worker: Worker, stop: threading.Event) -> Counts:
    """Wait until ClickHouse holds so many events."""
    _wait(lambda: events_counted(settings), wanted, "events counted", worker, stop)
    return counts(settings)


def _wait(done: Any, wanted: int, what: str, worker: Worker, stop: threading.Event) -> None:
    """Wait until ``done()`` reaches ``wanted``, telling about it. Raises Stopped and EngineFailed."""
    moved = told = time.monotonic()
    before = -1
    while (now_done := done()) < wanted:
        now = time.monotonic()
        if now_done != before:
            before, moved = now_done, now
        if now - told > 5:
            told = now
            click.echo(f"  {now_done:,} of {wanted:,} {what}")
        worker.check()
        if now - moved > STALLED_SECONDS:
            raise EngineFailed(
                f"only {now_done:,} of {wanted:,} {what}, and none for {STALLED_SECONDS:.0f} s "
                f"(the worker says: {worker.rung() or 'nothing'}); {supervisor.last_lines(worker.log)}"
            )
        if stop.wait(POLL_SECONDS):
            raise Stopped
    click.echo(f"  {now_done:,} {what}")


async def _equal(settings: Settings) -> bool:
    store = open_event_store(settings)
    try:
        return all(comparison.equal for comparison in await recount(store))
    finally:
        await store.close()
