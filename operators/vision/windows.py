"""Windows: parts of a scene that are indexed like objects, for what no detector has a name for.

A detector knows its classes only; rugs, lamps and curtains of a room are none of COCO's. A grid of windows that do not
overlap finds them: on rooms it is worth more than all detections together (``docs/lens.md`` has the table).
"""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]

#: A window that overlaps a detected object more than this (intersection over union) says nothing new.
SAME = 0.4


def windows(side: int, objects: Sequence[Box]) -> dict[int, Box]:
    """A grid of ``side`` × ``side`` windows, by their place in it (row by row), less those that are objects already.

    Boxes are left, top, right, bottom as fractions of the picture's width and height.
    """
    grid = {
        row * side + column: (column / side, row / side, (column + 1) / side, (row + 1) / side)
        for row in range(side)
        for column in range(side)
    }
    return {place: box for place, box in grid.items() if not any(overlap(box, one) > SAME for one in objects)}


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0 … 1."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / (_area(one) + _area(other) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
