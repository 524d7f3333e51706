"""Average precision of a detector, as PASCAL VOC and COCO count it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.stores.protocols import Detection

Box = Sequence[float]


def average_precision(
    found: Sequence[Sequence[Detection]], marked: Sequence[Sequence[tuple[str, Box]]], overlap: float
) -> float:
    """Mean over the marked labels of the area under precision and recall, all points interpolated."""
    labels = sorted({label for image in marked for label, _ in image})
    return float(np.mean([_of_label(label, found, marked, overlap) for label in labels]))


def _of_label(
    label: str, found: Sequence[Sequence[Detection]], marked: Sequence[Sequence[tuple[str, Box]]], overlap: float
) -> float:
    truth = [np.array([box for name, box in image if name == label]).reshape(-1, 4) for image in marked]
    taken = [np.zeros(len(boxes), bool) for boxes in truth]
    guesses = sorted(
        ((one.confidence, at, one.box) for at, image in enumerate(found) for one in image if one.label == label),
        reverse=True,
    )
    hits: list[bool] = []
    for _, at, box in guesses:
        overlaps = np.where(taken[at], 0, _overlaps(np.array(box), truth[at]))
        best = int(overlaps.argmax()) if len(overlaps) else -1
        hits.append(best >= 0 and overlaps[best] >= overlap)
        if hits[-1]:
            taken[at][best] = True
    if not hits:
        return 0.0
    right = np.cumsum(hits)
    precision = np.maximum.accumulate((right / np.arange(1, len(hits) + 1))[::-1])[::-1]
    recall = right / sum(map(len, truth))
    return float((np.diff(recall, prepend=0) * precision).sum())


def _overlaps(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of one box with each of some."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod((high - low).clip(0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return shared / (np.prod(box[2:] - box[:2]) + areas - shared)
