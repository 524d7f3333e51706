"""Detectors on photos with COCO's boxes: AP50 of the one that Triton serves, and of both side by side.

Both are measured by ``training/detector_report.py``, in the models' environment, on photos that neither learned from.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.quality.average_precision import Box, average_precision
from bench.quality.figure import Figure, Given
from infra.models_environment import ENVIRONMENT
from streams.images.decode import decode_now
from streams.settings import PROJECT, Settings
from streams.stores.protocols import Detection
from streams.stores.triton import TritonModels

#: A box is found when what it shares with one that people drew is this part of what both cover.
OVERLAP = 0.5
#: Photos that are in memory at once.
CHUNK = 32


class Looked(NamedTuple):
    """By photo: its name, what was found in it, and what people marked."""

    photos: list[str]
    found: list[list[Detection]]
    marked: list[list[tuple[str, Box]]]

    def precision(self, photos: list[bool] | None = None) -> float:
        """AP50 over these photos, or all."""
        rows = [row for row in range(len(self.photos)) if photos is None or photos[row]]
        return average_precision([self.found[row] for row in rows], [self.marked[row] for row in rows], OVERLAP)


def marked(labels: Path, names: list[str]) -> list[tuple[str, Box]]:
    """The boxes of a label file: class, centre, width and height a line, fractions of the picture."""
    return [
        (names[int(label)], (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        for label, x, y, width, height in np.loadtxt(labels, ndmin=2).tolist()
    ]


async def looked(settings: Settings, folder: Path) -> Looked:
    """Every photo of ``folder`` (``images/``, ``labels/``) through the detector. Raises StoreUnavailable."""
    names = (settings.home / "weights" / "coco.names").read_text().split("\n")[:80]
    files = sorted((folder / "images").glob("*.jpg"))
    models = TritonModels(settings)
    found: list[list[Detection]] = []
    try:
        for start in range(0, len(files), CHUNK):
            found += await models.detect([decode_now(file.read_bytes()) for file in files[start : start + CHUNK]])
    finally:
        await models.close()
    stems = [file.stem for file in files]
    return Looked(stems, found, [marked(folder / "labels" / f"{stem}.txt", names) for stem in stems])


def figures(given: Given) -> list[Figure]:
    """AP50 of each half of the photos and of all as Triton serves, and of each detector on what is held out."""
    of = asyncio.run(looked(given.triton, given.folder("boxes")))
    first = [zlib.crc32(stem.encode()) % 2 == 0 for stem in of.photos]
    halves = {"validation": first, "test": [not each for each in first], "all": [True] * len(first)}
    served = [
        Figure("detector", "AP50, as served", split, (of.precision(photos),), f"{sum(photos)} photos")
        for split, photos in halves.items()
    ]
    return served + both(given)


def both(given: Given) -> list[Figure]:
    """AP50 of each detector whose weights are there; the other is named. Raises CalledProcessError, MissingData."""
    command = [str(ENVIRONMENT / "bin" / "python"), "-m", "training.detector_report"]
    weights = {"PINSTREAM_WEIGHTS": str(given.triton.home / "weights")}
    done = subprocess.run(
        [*command, "--boxes", str(given.folder("boxes"))],
        cwd=PROJECT, env=os.environ | weights, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    for version, why in report["missing"].items():
        given.absent[f"detector {version}"] = why
        given.say(f"detector {version}: skipped, {why}")
    return [
        Figure("detector", f"AP50, {version} ({report['networks'][version]})", split, (found["ap50"],), f"{n} photos")
        for version, measured in report["measured"].items()
        for split, found in measured.items()
        for n in (report["photos"][split],)
    ]
