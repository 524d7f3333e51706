"""Are blur and low light seen in real photos?

Clear photos are those of the validation split and the room scenes as they are; each is made worse in several ways.
The constants of ``operators/vision/photo_quality.py`` were chosen on the training split. Reported for each way and
strength: the area under the ROC curve of clear against degraded, the hit rate of the flag, and its false alarms on the
clear ones (some of which really are a little soft or dark, so that none at all would be wrong). Mild strengths are
printed and not asserted. The rooms are for evaluation only and never ship.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from scipy.stats import rankdata

from operators.vision.photo_quality import PhotoQuality, photo_quality
from tests.quality.degrading import Pixels, moved, out_of_focus, softened, sunk, underexposed

pytestmark = pytest.mark.data

FULL = os.environ.get("PINSTREAM_FULL") == "1"
#: Photos and rooms; all of them take minutes.
SAMPLE = {"photos": 341, "rooms": 102} if FULL else {"photos": 16, "rooms": 4}
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
#: Printed only: how little is still seen.
MILD_BLUR: dict[str, Degrade] = {"softened by 0.75": lambda pixels, _: softened(pixels, 0.75)}
MILD_DARK: dict[str, Degrade] = {
    "1/3 of the light": lambda pixels, draw: underexposed(pixels, 1 / 3, draw),
    "gamma 2": lambda pixels, draw: sunk(pixels, 2, draw),
}
#: Printed only: in bright rooms white stays white, and middle tones vary more than this pushes them down.
OUT_OF_REACH = {("rooms", "gamma 3")}
Judged = dict[str, dict[str, list[PhotoQuality]]]


def clear_photos(folder: Path) -> Iterator[tuple[str, Pixels]]:
    """``(set, pixels)`` of photos and rooms in an order drawn once (seed 0)."""
    rows = json.loads((folder / "photos" / "labels.json").read_text())
    files = {
        "photos": [folder / row["image"] for row in rows if row["split"] == "validation"],
        "rooms": sorted((folder / "rooms" / "scenes").glob("*.jpg")),
    }
    for name, paths in files.items():
        for at in np.random.default_rng(0).permutation(len(paths))[: SAMPLE[name]]:
            yield name, np.asarray(Image.open(paths[at]).convert("RGB"))


@pytest.fixture(scope="module")
def judged(shared_data: Path) -> Judged:
    """Set of photos → what was done to them → what was thought of each."""
    ways = BLUR | MILD_BLUR | DARK | MILD_DARK if FULL else BLUR | DARK
    draw, found = np.random.default_rng(0), defaultdict[str, dict[str, list[PhotoQuality]]](lambda: defaultdict(list))
    for name, pixels in clear_photos(shared_data):
        found[name]["clear"].append(photo_quality(pixels))
        for way, degrade in ways.items():
            found[name][way].append(photo_quality(degrade(pixels, draw)))
    return found


def auc(better: list[float], worse: list[float]) -> float:
    """How often the better one of a pair has the larger number; ties count half."""
    n, m = len(better), len(worse)
    return float((rankdata([*better, *worse])[:n].sum() - n * (n + 1) / 2) / (n * m))


@pytest.mark.parametrize(
    ("number", "flag", "ways", "mild"),
    [("sharpness", "blurred", BLUR, MILD_BLUR), ("light", "dark", DARK, MILD_DARK)],
)
def test_degraded_copies_are_told_from_clear_photos(
    judged: Judged,
    number: Literal["sharpness", "light"],
    flag: Literal["blurred", "dark"],
    ways: dict[str, Degrade],
    mild: dict[str, Degrade],
):
    failed: list[str] = []
    for name, of in judged.items():
        clear = [getattr(one, number) for one in of["clear"]]
        alarms = np.mean([getattr(one, flag) for one in of["clear"]])
        print(f"\n{flag}, {len(clear)} {name}: false alarms {alarms:.3f}")
        for way in (way for way in (*ways, *mild) if way in of):
            area = auc(clear, [getattr(one, number) for one in of[way]])
            print(f"  {way:18} AUC {area:.3f}, flagged {np.mean([getattr(one, flag) for one in of[way]]):.3f}")
            if way in ways and (name, way) not in OUT_OF_REACH and area < LEAST_AUC:
                failed.append(f"{name}, {way}: {area:.3f}")
    assert not failed


def test_quality_falls_with_either(judged: Judged):
    for name, of in judged.items():
        middle = {way: float(np.median([one.quality for one in each])) for way, each in of.items()}
        for way in (way for way in (*BLUR, *DARK) if (name, way) not in OUT_OF_REACH):
            assert middle[way] < middle["clear"] / 2, (name, way, middle)
