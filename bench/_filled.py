"""An engine of its own whose index is filled, for the benches that ask it with photos.

Some photos of the shipped sample are understood by the real models; the other pins have vectors near theirs (noise
drawn by a seed) and words of the sample's titles. So the index is as large as asked for and lies as real vectors do,
without minutes of encoding; what is asked of it, and what is pinned meanwhile, goes the whole real way.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import click
import numpy as np
import psutil
from PIL import Image, ImageOps

from bench.engine import STALLED_SECONDS
from infra import supervisor
from operators.accepted import AcceptedPin
from operators.identity import combined_id
from streams.cli.running import EngineFailed, Worker, home_of_its_own, running
from streams.images.decode import decode_now
from streams.settings import PROJECT, Settings
from streams.stores.milvus import MilvusVectors
from streams.stores.triton import TritonModels
from streams.traffic.lines import Line
from streams.traffic.replay import Account, replay
from streams.traffic.sample import titles
from streams.traffic.watch import Watch
from streams.understanding import Understanding, record_vectors, understand

PHOTOS = sorted((PROJECT / "examples" / "sample" / "photos").glob("*.jpg"))
#: Length of the noise that makes a neighbour of a real vector: cosines of about .9 with it.
NOISE = 0.5
#: Pins written to Milvus together.
CHUNK = 200


@contextmanager
def filled(name: str, pins: int, photos: int, cores: int) -> Generator[tuple[Settings, Worker, Watch]]:
    """Parts, a worker and ``pins`` pins 1 … ``pins`` in the index, ``photos`` of them understood; stopped at the end.

    With ``cores`` everything runs on so many of this process's cores (0: on all of them).
    """
    installed = Settings.load()
    if cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    try:
        settings = home_of_its_own(installed, name)
        with running(settings, installed, _say) as worker, Watch(settings) as watch:
            _say(f"filling the index with {pins:,} pins")
            _announce(settings, worker, watch, pins)
            asyncio.run(_write(settings, pins, photos))
            yield settings, worker, watch
    except EngineFailed as error:
        raise click.ClickException(str(error)) from None


def machine(settings: Settings, worker: Worker) -> dict[str, Any]:
    """Cores, load and resident memory in MiB: figures hold for these."""
    memory = {part.name: (part.resident_bytes or 0) >> 20 for part in supervisor.status(settings)}
    memory["worker"] = psutil.Process(worker.process.pid).memory_info().rss >> 20
    return {"cores": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[0], 1), "rss_mib": memory}


def taken_anew(picture: Image.Image, draw: np.random.Generator, longest: int) -> Image.Image:
    """A part of a picture (.55 to .9 of each side), perhaps mirrored, ``longest`` pixels long."""
    width, height = picture.size
    wide, high = draw.uniform(0.55, 0.9) * width, draw.uniform(0.55, 0.9) * height
    left, top = draw.uniform(0, width - wide), draw.uniform(0, height - high)
    part = picture.crop((int(left), int(top), int(left + wide), int(top + high)))
    if draw.random() < 0.5:
        part = ImageOps.mirror(part)
    scale = longest / max(part.size)
    return part.resize((max(1, round(part.width * scale)), max(1, round(part.height * scale))))


def jpeg(picture: Image.Image) -> bytes:
    """As a telephone would send it."""
    content = BytesIO()
    picture.save(content, "JPEG", quality=88)
    return content.getvalue()


def _announce(settings: Settings, worker: Worker, watch: Watch, pins: int) -> None:
    """Every pin without a picture, so that catalogue and words know it. Raises EngineFailed."""
    now, words = int(time.time() * 1000), list(titles().values())
    lines = [
        Line("pins", pin, {"type": "created", "time": now, "pin": pin, "pinner": 1, "title": words[pin % len(words)]})
        for pin in range(1, pins + 1)
    ]
    replay(lines, settings, Account(read=len(lines)))
    done, moved = -1, time.monotonic()
    while len(watch.seen.understood) < pins:
        worker.check()
        if (now_done := len(watch.seen.understood)) != done:
            done, moved = now_done, time.monotonic()
        if time.monotonic() - moved > STALLED_SECONDS:
            raise EngineFailed(f"only {done:,} of {pins:,} pins were taken")
        time.sleep(0.2)


async def _write(settings: Settings, pins: int, photos: int) -> None:
    models, vectors = TritonModels(settings), MilvusVectors(settings)
    try:
        pictures = [decode_now(file.read_bytes()) for file in PHOTOS[:photos]]
        accepted = [AcceptedPin(pin=1 + at, version=1) for at in range(len(pictures))]
        seen = await understand(models, accepted, pictures, settings.object_windows)
        draw = np.random.default_rng(0)
        for start in range(1, pins + 1, CHUNK):
            some = range(start, min(start + CHUNK, pins + 1))
            await record_vectors(vectors, [_like(seen[(pin - 1) % len(seen)], pin, draw) for pin in some])
    finally:
        await models.close()
        await vectors.close()


def _like(seen: Understanding, pin: int, draw: np.random.Generator) -> Understanding:
    """The same understanding for another pin, its vectors a little off."""
    ids = iter(range(1 << 20))
    objects, parts = (
        [one._replace(object=combined_id("object", pin, next(ids)), vector=_near(one.vector, draw)) for one in some]
        for some in (seen.objects, seen.windows)
    )
    whole = None if seen.vector is None else _near(seen.vector, draw)
    accepted = AcceptedPin(pin=pin, version=1)
    return replace(seen, pin=accepted, vector=whole, objects=objects, windows=parts)


def _near(vector: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    noise = draw.normal(0, NOISE / len(vector) ** 0.5, len(vector))
    moved = vector + noise
    return (moved / np.linalg.norm(moved)).astype(np.float32)


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50 and p99; None of nothing."""
    if not values:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(np.array(values), [50, 99]).tolist()
    return {"p50": round(p50, 2), "p99": round(p99, 2)}


def _say(line: str) -> None:
    click.echo(line, err=True)
