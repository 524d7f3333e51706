"""Weak labels on boxes of known class: precision against coverage, through the encoder that Triton serves.

The memory are boxes of COCO photos with their class. The crops are **simulated**: each box with every edge moved by up
to 12 % of its size, drawn anew for each seed. A crop is labelled by boxes of other photos only, in a way that was
chosen on other photos (``weak_label_curve.py``), so every figure is of boxes that nothing was chosen on. Coverage is
over all boxes asked, however small.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from PIL import Image

from bench.quality.figure import Figure, Given
from bench.quality.weak_label_curve import COVERAGES, WANTED, Boxes, coverage_at, held_out, precision_at
from streams.images.fitting import Pixels
from streams.settings import Settings
from streams.stores.triton import TritonModels

JITTER = 0.12
PRECISION = 0.80


class Size(NamedTuple):
    """Which boxes are asked, and how they are looked at.

    Attributes:
        views: how much of its size each view keeps around a box; None for a square as long as its longer side.
        dimensions: vectors are whitened to so many; 0 leaves them.
        every: one photo in so many, by the checksum of its name.
        least: boxes of at least this share of their photo.
    """

    views: tuple[float | None, ...]
    dimensions: int
    every: int
    least: float


#: As ``streams/weak_labels.py`` does it, with one vector of each object.
LIVE = Size((0.05,), 0, 1, 0.0)
#: The best way that was found; minutes.
BEST = Size((0.05, 0.3, 1.0, None), 128, 1, 0.0)
#: A part of the photos and their larger boxes shows that neighbours and margins say something.
SAMPLE = Size((0.05,), 32, 3, 0.01)


class Curve(NamedTuple):
    """For each seed the precision at each of ``COVERAGES`` and the coverage at :data:`PRECISION`."""

    precisions: list[list[float]]
    coverages: list[float]
    most_common: float
    boxes: int
    photos: int

    def at(self, coverage: float) -> tuple[float, ...]:
        """Precision at a coverage, for each seed."""
        return tuple(row[COVERAGES.index(coverage)] for row in self.precisions)


async def measured(settings: Settings, folder: Path, sizes: Sequence[Size], seeds: int) -> list[Curve]:
    """The curve of each size, over seeds 1 … ``seeds``. Boxes must be the same in all sizes. Raises StoreUnavailable.

    Pictures are looked at once in all views of all sizes.
    """
    photos, classes, boxes = _read(folder, sizes[0])
    views = list(dict.fromkeys(view for size in sizes for view in size.views))
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    models = TritonModels(settings)
    try:
        memory = await _encoded(models, folder, photos, boxes, views)
        crops = [await _encoded(models, folder, photos, _jittered(boxes, seed), views) for seed in range(1, seeds + 1)]
    finally:
        await models.close()
    everybody = np.ones(len(classes), np.bool_)
    common = float(np.bincount(classes).max() / len(classes))
    curves: list[Curve] = []
    for size in sizes:
        rows = [views.index(view) for view in size.views]
        found = [
            held_out(Boxes(np.array(photos), classes, areas, memory[rows], of_seed[rows]), size.dimensions)[0]
            for of_seed in crops
        ]
        precisions = [[precision_at(one, everybody, coverage) for coverage in COVERAGES] for one in found]
        wide = [coverage_at(one, PRECISION) for one in found]
        curves.append(Curve(precisions, wide, common, len(classes), len(set(photos))))
    return curves


def figures(given: Given) -> list[Figure]:
    """Precision at the wanted coverage, and coverage at the wanted precision."""
    ways = {"a part": SAMPLE} if given.quick else {"as it runs live": LIVE, "four views, whitened": BEST}
    curves = asyncio.run(measured(given.triton, given.folder("boxes"), list(ways.values()), given.seeds))
    rows: list[Figure] = []
    for way, curve in zip(ways, curves, strict=True):
        over = f"{curve.boxes} boxes of {curve.photos} photos, crops simulated"
        rows += [
            Figure(
                "weak labels",
                f"precision at coverage {coverage:g}, {way}",
                "test",
                curve.at(coverage),
                over,
                least=goal,
            )
            for coverage, goal in ((0.2, None), (WANTED, PRECISION), (1.0, None))
        ]
        wide = Figure(
            "weak labels", f"coverage at precision {PRECISION:g}, {way}", "test", tuple(curve.coverages), over, WANTED
        )
        rows.append(wide)
    return rows


def _read(folder: Path, size: Size) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Photo and class of each box, and the boxes as left, top, right, bottom."""
    photos: list[str] = []
    rows: list[list[float]] = []
    for file in sorted((folder / "labels").glob("*.txt")):
        if crc32(file.stem.encode()) % size.every:
            continue
        for line in file.read_text().splitlines():
            class_, x, y, width, height = map(float, line.split()[:5])
            if width * height >= size.least:
                photos.append(file.stem)
                rows.append([class_, x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    table = np.array(rows)
    return photos, table[:, 0].astype(np.int64), np.clip(table[:, 1:], 0, 1)


def _jittered(boxes: np.ndarray, seed: int) -> np.ndarray:
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.clip(boxes + np.random.default_rng(seed).uniform(-JITTER, JITTER, boxes.shape) * size, 0, 1)


def _cut(image: Pixels, box: np.ndarray, padding: float | None) -> Pixels:
    extent = np.array(image.shape[1::-1])
    start, end = box[:2] * extent, box[2:] * extent
    if padding is None:
        half = 0.55 * (end - start).max()
        start, end = (start + end) / 2 - half, (start + end) / 2 + half
    else:
        start, end = start - padding * (end - start), end + padding * (end - start)
    left, top = np.clip(start, 0, extent - 1).astype(int)
    right, bottom = np.maximum(np.minimum(np.ceil(end), extent).astype(int), (left + 1, top + 1))
    return image[top:bottom, left:right]


async def _encoded(
    models: TritonModels, folder: Path, photos: list[str], boxes: np.ndarray, views: Sequence[float | None]
) -> np.ndarray:
    """``(views, n, d)``."""
    found: list[np.ndarray] = []
    for photo in dict.fromkeys(photos):
        image = np.asarray(Image.open(folder / "images" / f"{photo}.jpg").convert("RGB"))
        rows = [row for row, name in enumerate(photos) if name == photo]
        vectors = await models.encode([_cut(image, boxes[row], view) for view in views for row in rows])
        found.append(vectors.reshape(len(views), len(rows), -1))
    return np.concatenate(found, 1)
