"""Are blur and low light seen in real photos?

Clear photos are those of ``photos`` and the room scenes as they are; each is made worse in several ways. The constants
of ``operators/vision/photo_quality.py`` were chosen on the training split of ``photos``, so the validation split and
the rooms are what nothing was chosen on. Measured for each way and strength: the area under the ROC curve of clear
against degraded, the hit rate of the flag, and its false alarms on the clear ones (some of which really are a little
soft or dark, so that none at all would be wrong). The rooms are for evaluation only and never ship.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.stats import rankdata

from bench.quality.degrading import Pixels, moved, out_of_focus, softened, sunk, underexposed
from bench.quality.figure import Figure, Given
from operators.vision.photo_quality import PhotoQuality, photo_quality

LEAST_AUC = 0.95
Degrade = Callable[[Pixels, np.random.Generator], Pixels]

BLUR: dict[str, Degrade] = {
    "softened by 1": lambda pixels, _: softened(pixels, 1),
    "softened by 2": lambda pixels, _: softened(pixels, 2),
    "out of focus by 2": lambda pixels, _: out_of_focus(pixels, 2),
    "out of focus by 4": lambda pixels, _: out_of_focus(pixels, 4),
    "moved by 4": lambda pixels, draw: moved(pixels, 4, draw.uniform(0, np.pi)),
    "moved by 8": lambda pixels, draw: moved(pixels, 8, draw.uniform(0, np.pi)),
}
DARK: dict[str, Degrade] = {
    "1/4 of the light": lambda pixels, draw: underexposed(pixels, 1 / 4, draw),
    "1/8 of the light": lambda pixels, draw: underexposed(pixels, 1 / 8, draw),
    "gamma 3": lambda pixels, draw: sunk(pixels, 3, draw),
}
#: Without a goal: how little is still seen.
MILD_BLUR: dict[str, Degrade] = {"softened by 0.75": lambda pixels, _: softened(pixels, 0.75)}
MILD_DARK: dict[str, Degrade] = {
    "1/3 of the light": lambda pixels, draw: underexposed(pixels, 1 / 3, draw),
    "gamma 2": lambda pixels, draw: sunk(pixels, 2, draw),
}
#: Without a goal: in bright rooms white stays white, and middle tones vary more than this pushes them down.
OUT_OF_REACH = {("rooms", "gamma 3")}
#: How many photos and rooms are looked at; all of them take minutes.
WHOLE_SET, SAMPLE = {"photos": 341, "rooms": 102}, {"photos": 16, "rooms": 4}
#: Set of photos → what was done to them (``clear``: nothing) → what was thought of each.
Judged = dict[str, dict[str, list[PhotoQuality]]]


class Harm(NamedTuple):
    """What a kind of harm is seen by: the number, its flag, and the ways of doing it with a goal and without."""

    number: str
    flag: str
    ways: dict[str, Degrade]
    mild: dict[str, Degrade]


HARMS = (Harm("sharpness", "blurred", BLUR, MILD_BLUR), Harm("light", "dark", DARK, MILD_DARK))


class Told(NamedTuple):
    """How well one way of degrading is told from clear photos."""

    auc: float
    flagged: float


def judged(data: Path, sample: dict[str, int], ways: dict[str, Degrade], seed: int = 0) -> Judged:
    """Judge photos and rooms as they are and degraded; ``seed`` draws which, and the noise and ways of motion."""
    draw, found = (
        np.random.default_rng(seed),
        defaultdict[str, dict[str, list[PhotoQuality]]](lambda: defaultdict(list)),
    )
    for name, pixels in _clear_photos(data, sample, seed):
        found[name]["clear"].append(photo_quality(pixels))
        for way, degrade in ways.items():
            found[name][way].append(photo_quality(degrade(pixels, draw)))
    return found


def told(of: dict[str, list[PhotoQuality]], harm: Harm, way: str) -> Told:
    """AUC and hit rate of one way among those of a set of photos."""
    clear, worse = ([getattr(one, harm.number) for one in of[each]] for each in ("clear", way))
    return Told(auc(clear, worse), float(np.mean([getattr(one, harm.flag) for one in of[way]])))


def auc(better: list[float], worse: list[float]) -> float:
    """How often the better one of a pair has the larger number; ties count half."""
    n, m = len(better), len(worse)
    return float((rankdata([*better, *worse])[:n].sum() - n * (n + 1) / 2) / (n * m))


def figures(given: Given) -> list[Figure]:
    """AUC and flags of every way on the validation photos and on the rooms, over seeds of noise and motion."""
    given.folder("photos"), given.folder("rooms")
    ways = BLUR | DARK if given.quick else BLUR | MILD_BLUR | DARK | MILD_DARK
    # A third of each: every photo is degraded a dozen times for each seed.
    some = SAMPLE if given.quick else {"photos": 114, "rooms": 34}
    runs = []
    for seed in range(given.seeds):
        given.say(f"blur and light: seed {seed}")
        runs.append(judged(given.data, some, ways, seed))
    rows: list[Figure] = []
    for name, split in (("photos", "validation"), ("rooms", "test")):
        over = f"{len(runs[0][name]['clear'])} {name} for each seed"
        for harm in HARMS:
            alarms = [float(np.mean([getattr(one, harm.flag) for one in run[name]["clear"]])) for run in runs]
            rows.append(Figure("light and sharpness", f"false alarms, {harm.flag}", split, tuple(alarms), over))
            for way in (way for way in (*harm.ways, *harm.mild) if way in ways):
                goal = LEAST_AUC if way in harm.ways else None
                each = [told(run[name], harm, way) for run in runs]
                rows.append(
                    Figure("light and sharpness", f"AUC, {way}", split, tuple(one.auc for one in each), over, goal)
                )
    return rows


def _clear_photos(data: Path, sample: dict[str, int], seed: int) -> Iterator[tuple[str, Pixels]]:
    """``(set, pixels)`` of photos and rooms, in an order drawn by the seed."""
    rows = json.loads((data / "photos" / "labels.json").read_text())
    files = {
        "photos": [data / row["image"] for row in rows if row["split"] == "validation"],
        "rooms": sorted((data / "rooms" / "scenes").glob("*.jpg")),
    }
    for name, paths in files.items():
        for at in np.random.default_rng(seed).permutation(len(paths))[: sample[name]]:
            yield name, np.asarray(Image.open(paths[at]).convert("RGB"))
