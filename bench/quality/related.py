"""Related pins: each source, and all of them joined, on real saves and real rooms; head and tail pins apart.

Sources and joining are the engine's own code over its own memory. What is measured: of the pins that should be found
the share among the first 10 and 100, and one over the place of the first (MRR), over pins that are not known to the
question already. Weights were chosen on ``validation``; ``test`` was not looked at while choices were made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from bench.quality.contest import Contest, Entry, options, tell
from bench.quality.related_worlds import World, rooms, saves
from operators.fusion import fuse
from operators.id_index import Ints
from operators.related.blend import WEIGHTS, Weight, blend
from streams.related_sources import SOURCES
from streams.settings import Settings

#: Pins that each source proposes, four for each of the first 100 that count, and half as many again for known ones.
DEPTH = 600
TOP = 100
FIGURES = ("recall@100", "recall@10", "MRR")
METRICS = [*FIGURES, *(f"{part} {figure}" for part in ("head", "tail") for figure in FIGURES)]
BLEND, FUSION = "blend", "reciprocal rank fusion"
ASKED, PINNERS = 1_500, 8_000
QUICK_ASKED = 300
#: Share by which one seed of a part of the data may differ from all of it.
TOLERANCE = 0.05


def measured(world: World, weights: Mapping[str, Weight] | None = None) -> dict[str, dict[str, float]]:
    """System → metric → value."""
    return asyncio.run(_measured(world, weights))


async def _measured(world: World, weights: Mapping[str, Weight] | None) -> dict[str, dict[str, float]]:
    rows: dict[str, list[tuple[float, float, float]]] = {}
    head = np.array([one.head for one in world.questions])
    for one in world.questions:
        found = {name: await source(world.engine, one.pin, DEPTH) for name, source in SOURCES.items()}
        rankings = {name: each.pins for name, each in found.items()}
        rankings[FUSION] = fuse(list(rankings.values()), DEPTH).ids
        rankings[BLEND] = blend(found, weights or WEIGHTS).ids
        for name, pins in rankings.items():
            rows.setdefault(name, []).append(_figures(pins[~np.isin(pins, one.known)], one.wanted))
    told: dict[str, dict[str, float]] = {}
    for name, each in rows.items():
        figures = np.array(each)
        told[name] = {}
        for prefix, mask in (("", head | True), ("head ", head), ("tail ", ~head)):
            means = figures[mask].mean(axis=0) if mask.any() else np.full(3, np.nan)
            told[name] |= {f"{prefix}{figure}": float(mean) for figure, mean in zip(FIGURES, means, strict=True)}
    return told


def _figures(ranking: Ints, wanted: Ints) -> tuple[float, float, float]:
    hits: NDArray[np.bool_] = np.isin(ranking, wanted)
    first = np.flatnonzero(hits)
    return (
        float(hits[:TOP].sum() / len(wanted)),
        float(hits[:10].sum() / len(wanted)),
        float(1 / (1 + first[0])) if len(first) else 0.0,
    )


def contest(worlds: list[World], split: str) -> Contest:
    """One table over several seeds of one data set; the goal is to be at least as good as the best source alone."""
    tables = [measured(world) for world in worlds]
    # Saves have neither pictures nor words.
    silent = {name for name in ("visual", "words") if not any(table[name]["recall@100"] > 0 for table in tables)}
    alive = [name for name in tables[0] if name not in silent]
    entries = [
        Entry(name, name != FUSION, {metric: tuple(table[name][metric] for table in tables) for metric in METRICS})
        for name in alive
    ]
    best = {figure: max(each.mean(figure) for each in entries if each.system in SOURCES) for figure in FIGURES}
    asked = len(worlds[0].questions)
    return Contest(
        f"Related pins on {worlds[0].name}", f"{split}, {asked} questions a seed, {len(worlds)} seeds", METRICS,
        entries, goals=best, champion=BLEND, notes=_notes(entries),
    )  # fmt: skip


def _notes(entries: list[Entry]) -> list[str]:
    by = {each.system: each for each in entries}
    notes = ["goals: the best source alone, metric by metric"]
    for metric in ("head recall@100", "tail recall@100"):
        boards, sessions = (by[name].mean(metric) for name in ("boards", "pin2vec"))
        said = "as good as" if boards == sessions else "better than" if boards > sessions else "worse than"
        notes.append(f"{metric}: boards are {said} pin2vec")
    return notes


def worlds_of(data: Path, seeds: int, quick: bool, split: str) -> list[list[World]]:
    """Those whose data are there: saves, then rooms."""
    found: list[list[World]] = []
    count = range(1 if quick else seeds)
    if (data / "saves").is_dir():
        size = {"asked": QUICK_ASKED, "pinners": PINNERS} if quick else {"asked": ASKED}
        found.append([saves(data / "saves", split, seed, **size) for seed in count])
    if (data / "rooms").is_dir():
        weights = Settings.load().home / "weights"
        found.append([rooms(data / "rooms", weights, split, seed) for seed in count])
    return found


@click.command("related")
@options
@click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True)
def command(data: Path, seeds: int, quick: bool, strict: bool, out: Path | None, as_json: bool, split: str) -> None:
    """Related pins by each source and by all, on real saves and rooms; head and tail apart.

    The first time, 1,016 pictures of the rooms go through the encoder (a minute or two).
    """
    worlds = worlds_of(data, seeds, quick, split)
    if not worlds:
        raise click.ClickException(f"no {data / 'saves'} and no {data / 'rooms'}: set PINSTREAM_DATA, or --data")
    tell("related", [contest(each, split) for each in worlds], as_json, out, strict)
