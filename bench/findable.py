"""New pin → findable: seconds from the produce to Kafka until a crop of its picture finds it, at a stated rate.

Starts an engine of its own in ``.pinstream/bench-findable`` with a filled index (``bench/_filled.py``). Each new pin
shows another part of a photo of the sample, sent inline. Lens is asked with a crop of that picture (four fifths of each
side) until the pin is among the first 25: by then it is in the catalogue, its vectors are searchable and not a
near-duplicate's. Lens has understood the crops before, so that asking costs a search and no encoding. One question is
asked at a time, for the pins that wait in turn, so that asking does not hold up what is asked about; what a question
and the pause before it take is in the figures.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any, NamedTuple

import aiohttp
import click
import numpy as np
from confluent_kafka import Producer
from PIL import Image

from bench._filled import PHOTOS, filled, jpeg, machine, percentiles, taken_anew
from streams.cli.running import Worker
from streams.cli.tables import table
from streams.lens_recall import CAPACITY
from streams.outputs import client_config
from streams.settings import Settings

LONGEST = 400
PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
FIRST = 10_000_000
#: Of each side of the picture, what is cut off for the question.
EDGE = 0.1
#: Pins before any is counted.
WARM_UP = 5


class NewPin(NamedTuple):
    """A pin to be sent, and the crop that is to find it."""

    pin: int
    picture: bytes
    crop: bytes


@click.command("findable")
@click.option("--rate", default=2.0, show_default=True, help="New pins a second.")
@click.option("--count", default=100, show_default=True, type=click.IntRange(1, CAPACITY - 50), help="New pins.")
@click.option("--pins", default=5_000, show_default=True, type=click.IntRange(1), help="Pins in the index before.")
@click.option("--photos", default=100, show_default=True, type=click.IntRange(1, 350), help="Of these, understood.")
@click.option("--cores", default=2, show_default=True, type=click.IntRange(0), help="Cores for everything; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object instead of a table.")
def command(rate: float, count: int, pins: int, photos: int, cores: int, as_json: bool) -> None:
    """Measure how long a new pin takes until a crop of its picture finds it."""
    with filled("bench-findable", pins, photos, cores) as (settings, worker, _):
        found = asyncio.run(_measured(settings, worker, rate, count))
        told = machine(settings, worker)
    figures = {"pins/s": rate, "new pins": count, "found": len(found)} | {
        f"{name} s": value for name, value in percentiles(found).items()
    }
    figures["longest s"] = round(max(found), 2) if found else None
    if as_json:
        click.echo(json.dumps({"over": {"pins": pins} | told, "findable": figures}))
    else:
        click.echo(table(tuple(figures), [tuple(str(value) for value in figures.values())]))
        click.echo(str({"pins": pins} | told))
    if len(found) < count:
        raise click.ClickException(f"{count - len(found)} pins were not found within {PATIENCE_SECONDS:.0f} s")


async def _measured(settings: Settings, worker: Worker, rate: float, count: int) -> list[float]:
    """Seconds of each pin that was found."""
    draw = np.random.default_rng(2)
    news = [_new(number, draw) for number in range(WARM_UP + count)]
    headers = {"Authorization": f"Bearer {worker.token}"} if worker.token else {}
    producer = Producer(client_config(settings) | {"acks": "all", "linger.ms": 0})
    turn = asyncio.Semaphore(1)
    async with aiohttp.ClientSession(headers=headers) as session:
        click.echo(f"understanding {len(news)} crops", err=True)
        for new in news:
            await _ask(session, worker, new)
        click.echo(f"{rate:g} new pins/s", err=True)
        for new in news[:WARM_UP]:
            _send(producer, new)
        await asyncio.gather(*(_until_found(session, worker, new, time.monotonic(), turn) for new in news[:WARM_UP]))
        waiting: list[asyncio.Task[float | None]] = []
        began = time.monotonic()
        for number, new in enumerate(news[WARM_UP:]):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            sent = time.monotonic()
            _send(producer, new)
            waiting.append(asyncio.create_task(_until_found(session, worker, new, sent, turn)))
        seconds = await asyncio.gather(*waiting)
    producer.flush(10)
    return [each for each in seconds if each is not None]


def _new(number: int, draw: np.random.Generator) -> NewPin:
    picture = taken_anew(Image.open(PHOTOS[number % len(PHOTOS)]).convert("RGB"), draw, LONGEST)
    width, height = picture.size
    crop = picture.crop((int(EDGE * width), int(EDGE * height), int((1 - EDGE) * width), int((1 - EDGE) * height)))
    return NewPin(FIRST + number, jpeg(picture), jpeg(crop))


def _send(producer: Producer, new: NewPin) -> None:
    image = "data:image/jpeg;base64," + base64.b64encode(new.picture).decode()
    event: dict[str, Any] = {
        "type": "created",
        "time": int(time.time() * 1000),
        "pin": new.pin,
        "pinner": 2,
        "image": image,
    }
    producer.produce("pins", json.dumps(event).encode(), str(new.pin).encode())
    producer.poll(0)


async def _until_found(
    session: aiohttp.ClientSession, worker: Worker, new: NewPin, sent: float, turn: asyncio.Semaphore
) -> float | None:
    """Seconds from ``sent`` until an answer has the pin; None where none had it in time."""
    while time.monotonic() - sent < PATIENCE_SECONDS:
        async with turn:
            await asyncio.sleep(PAUSE_SECONDS)
            found = await _ask(session, worker, new)
        if new.pin in found:
            return time.monotonic() - sent
        worker.check()
    return None


async def _ask(session: aiohttp.ClientSession, worker: Worker, new: NewPin) -> set[int]:
    url = f"{worker.url}/v1/lens?n=25"
    async with session.post(url, data=new.crop, headers={"Content-Type": "image/jpeg"}) as answer:
        if answer.status == 503:  # a part is too slow just now: not found yet
            return set()
        answer.raise_for_status()
        return {hit["pin"] for hit in (await answer.json())["hits"]}


if __name__ == "__main__":
    command()
