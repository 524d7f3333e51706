"""Windows: parts of a scene that are indexed like objects, for what no detector has a name for.

A detector knows its classes only; rugs, lamps and curtains of a room are none of COCO's. A grid of windows that do not
overlap finds them: on rooms it is worth more than all detections together (``docs/lens.md`` has the table).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.vision.regions import overlaps

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
    if not (grid and objects):
        return grid
    known = overlaps(np.array(list(grid.values())), np.array(objects)).max(axis=1) > SAME
    return {place: box for (place, box), is_object in zip(grid.items(), known.tolist(), strict=True) if not is_object}
