"""Lens end to end over HTTP: p50 and p99 of an answer, stage by stage, for new photos and for photos seen before.

Starts an engine of its own in ``.pinstream/bench-lens`` with a filled index (``bench/_filled.py``) on two cores, and
asks one photo at a time. Photos are parts of the shipped sample's, and where the real data is also room scenes, in
which there are more objects; each is 1,600 pixels long. ``whole answer`` is the client's clock, stages are the
answer's own: ``understand`` contains those up to ``encode``, ``search`` those up to ``objects``. ``colours``
runs beside ``detect``, and ``visual``, ``objects`` and ``text`` side by side.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import click
import numpy as np
from PIL import Image

from bench._filled import PHOTOS, filled, jpeg, machine, percentiles, taken_anew
from streams.cli.running import Worker
from streams.cli.tables import table
from streams.settings import PROJECT

LONGEST = 1600
#: Answers before any is counted: connections are opened and code is compiled.
WARM_UP = 5


@click.command("lens")
@click.option("--pins", default=5_000, show_default=True, type=click.IntRange(1), help="Pins in the index.")
@click.option("--photos", default=100, show_default=True, type=click.IntRange(1, 350), help="Of these, understood.")
@click.option("--queries", default=100, show_default=True, type=click.IntRange(1), help="Photos of each kind asked.")
@click.option("--cores", default=2, show_default=True, type=click.IntRange(0), help="Cores for everything; 0 for all.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=lambda: Path(os.environ.get("PINSTREAM_DATA") or PROJECT.parent / "shared" / "data"),
    help="Folder of the real data sets, for room scenes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object instead of a table.")
def command(pins: int, photos: int, queries: int, cores: int, data: Path, as_json: bool) -> None:
    """Measure what an answer of Lens takes, by stage."""
    scenes = sorted((data / "rooms" / "scenes").glob("*.jpg"))
    kinds = {"clothing": PHOTOS} | ({"rooms": scenes} if scenes else {})
    found: dict[str, Any] = {}
    with filled("bench-lens", pins, photos, cores) as (settings, worker, _):
        for name, files in kinds.items():
            click.echo(f"asking with {queries} photos of {name}", err=True)
            found |= _measured(worker, name, files, queries)
        told = machine(settings, worker)
    over = {"pins": pins, "photos of each kind": queries, "pixels": LONGEST} | told
    if as_json:
        click.echo(json.dumps({"over": over, "milliseconds": found}))
        return
    stages = list(dict.fromkeys(stage for each in found.values() for stage in each["milliseconds"]))
    rows = [(stage, *(_shown(each["milliseconds"].get(stage)) for each in found.values())) for stage in stages]
    click.echo(table(("milliseconds, p50 / p99", *found), rows))
    click.echo("objects a photo: " + ", ".join(f"{name} {each['objects']}" for name, each in found.items()))
    click.echo(str(over))


def _measured(worker: Worker, name: str, files: list[Path], queries: int) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    contents = [
        jpeg(taken_anew(Image.open(files[at % len(files)]).convert("RGB"), draw, LONGEST))
        for at in range(WARM_UP + queries)
    ]
    for content in contents[:WARM_UP]:
        _asked(worker, content)
    found: dict[str, Any] = {}
    # Twice in a row, as a person who drags a box back or asks for more does.
    rounds = {f"{name}, new": [], f"{name}, seen before": []}
    for content in contents[WARM_UP:]:
        for answers in rounds.values():
            answers.append(_asked(worker, content))
    for which, answers in rounds.items():
        remembered = sum(body["remembered"] for _, body in answers)
        if remembered != (len(answers) if which.endswith("before") else 0):
            raise click.ClickException(f"{which}: {remembered} of {len(answers)} photos were remembered")
        stages = list(dict.fromkeys(stage for _, body in answers for stage in body["milliseconds"]))
        found[which] = {
            "milliseconds": {"whole answer": percentiles([took for took, _ in answers])}
            | {
                stage: percentiles(
                    [body["milliseconds"][stage] for _, body in answers if stage in body["milliseconds"]]
                )
                for stage in stages
            },
            "objects": round(float(np.mean([len(body["objects"]) for _, body in answers])), 1),
            "degraded": sum(bool(body["degraded"]) for _, body in answers),
        }
    return found


def _asked(worker: Worker, content: bytes) -> tuple[float, dict[str, Any]]:
    """Milliseconds of the client, and the answer."""
    headers = {"Content-Type": "image/jpeg"} | ({"Authorization": f"Bearer {worker.token}"} if worker.token else {})
    began = time.perf_counter()
    with urlopen(Request(f"{worker.url}/v1/lens?n=25", content, headers), timeout=60) as answer:
        body = json.load(answer)
    return (time.perf_counter() - began) * 1000, body


def _shown(each: dict[str, float | None] | None) -> str:
    return "" if each is None or each["p50"] is None else f"{each['p50']:.1f} / {each['p99']:.1f}"


if __name__ == "__main__":
    command()
