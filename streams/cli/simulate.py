"""``pinstream simulate``: traffic drawn from known tastes, to a file or straight to Kafka."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click
import numpy as np
import orjson

from streams.cli.interrupt import stop_on_interrupt
from streams.cli.progress import progress_line
from streams.cli.replay import events_per_second
from streams.settings import PROJECT, Settings
from streams.traffic.lines import Line, open_to_write
from streams.traffic.replay import Account, replay
from streams.traffic.simulate import EVENTS_PER_SLATE, pin_events, pinner_events, traffic
from streams.traffic.world import World, draw_world

#: Photos that simulated pins show, in turn.
MANIFEST = PROJECT / "examples" / "sample" / "manifest.json"
DOMAINS = [f"shop-{number:02d}.example" for number in range(1, 21)]


@click.command("simulate")
@click.option(
    "--pins", default=350, show_default=True, type=click.IntRange(1), help="Pins; they show the sample's photos."
)
@click.option("--pinners", default=200, show_default=True, type=click.IntRange(1), help="Pinners; some of them post.")
@click.option("--events", default=30_000, show_default=True, type=click.IntRange(1), help="About so much engagement.")
@click.option("--days", default=14, show_default=True, type=click.IntRange(1), help="Days that it spans, up to now.")
@click.option(
    "--seed", default=1, show_default=True, help="The same seed and options give the same traffic, up to its times."
)
@click.option("--out", "-o", help="File to write (.gz and .zst are packed, - is standard output).")
@click.option("--kafka", is_flag=True, help="Send to Kafka.")
@click.option("--rate", default="", metavar="N/s", help="Events per second to Kafka; as fast as it goes if left out.")
@click.option("--truth", type=click.Path(dir_okay=False, path_type=Path), help="Write tastes and parameters here.")
@click.option("--no-pins", is_flag=True, help="Only traffic, for pins and pinners that are known already.")
@click.option("--json", "as_json", is_flag=True, help="Print the account as one JSON object.")
def command(
    pins: int, pinners: int, events: int, days: int, seed: int, out: str | None, kafka: bool, rate: str,
    truth: Path | None, no_pins: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make SIMULATED pins, pinners and traffic: who likes what is drawn first and kept in the truth file."""
    if bool(out) == kafka:
        raise click.UsageError("say where the events go: --out FILE or --kafka")
    end = int(time.time() * 1000)
    photos = orjson.loads(MANIFEST.read_bytes())
    world = simulated_world(photos, name=f"simulated-{seed}-{end}", pins=pins, pinners=pinners, days=days, seed=seed)
    if truth:
        truth.write_bytes(orjson.dumps(world.truth() | {"days": days, "end": end}))
    engagement = traffic(world, slates=max(1, round(events / EVENTS_PER_SLATE)), days=days, end=end)
    images = [f"file:examples/sample/photos/{photos[i % len(photos)]['file']}" for i in range(pins)]
    lines: Iterator[Line] = iter(engagement)
    if not no_pins:
        lines = chain(pin_events(world, end, images), pinner_events(world, end, days), engagement)
    account = Account()
    if kafka:
        with stop_on_interrupt() as stop:
            replay(
                counted(lines, account),
                Settings.load(),
                account,
                rate=events_per_second(rate),
                progress=progress_line(),
                stop=stop,
            )
    else:
        started = time.monotonic()
        with open_to_write(str(out)) as file:
            for line in counted(lines, account):
                file.write(line.encode())
                account.sent += 1
                account.delivered += 1
                account.by_topic[line.topic] += 1
        account.seconds = time.monotonic() - started
    text = f"{account.delivered:,} simulated events in {account.seconds:.1f} s (seed {seed})"
    click.echo(orjson.dumps(account.summary()) if as_json else text, err=out == "-")
    for error in account.errors:
        click.echo(error, err=True)
    if not account.complete:
        sys.exit(1)


def simulated_world(photos: list[dict[str, str]], *, name: str, pins: int, pinners: int, days: int, seed: int) -> World:
    """A world whose pins show the photos in turn, an eighth of its pinners posting."""
    topics = sorted({photo["label"] for photo in photos})
    labels = np.array([topics.index(photos[i % len(photos)]["label"]) for i in range(pins)])
    return draw_world(
        labels,
        topics,
        name=name,
        pinners=pinners,
        posters=max(1, pinners // 8),
        domains=DOMAINS,
        days=days,
        seed=seed,
    )


def counted(lines: Iterator[Line], account: Account) -> Iterator[Line]:
    """The same lines, counted as read."""
    for line in lines:
        account.read += 1
        yield line
