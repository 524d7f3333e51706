"""A picture of any size made small by averaging areas, at a cost that does not grow with the picture."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Pixels, ``(h, w, 3)`` RGB of at least 1 × 1.
Pixels = NDArray[np.uint8]
#: Rows and columns of an area that are read, evenly spread; more change a mean too little to be worth the time.
SAMPLES = 8


def area_means(pixels: Pixels, rows: int, columns: int) -> NDArray[np.float32]:
    """Means of ``rows`` × ``columns`` areas that tile the picture, ``(rows, columns, 3)`` in 0 … 255.

    Raises:
        ValueError: the picture is not ``(h, w, 3)``, or has fewer rows or columns than asked for.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are (h, w, 3), not {pixels.shape}")
    if not (0 < rows <= pixels.shape[0] and 0 < columns <= pixels.shape[1]):
        raise ValueError(f"{rows} × {columns} areas do not fit into {pixels.shape[0]} × {pixels.shape[1]} pixels")
    read = pixels.view()
    read.flags.writeable = False  # numba compiles anew for writable arrays, and decoders bring both
    return _means(read, rows, columns)


def fitting(pixels: Pixels, side: int) -> tuple[int, int]:
    """Rows and columns of a picture whose longer side is at most ``side``, in the same proportions; at least 1."""
    height, width = pixels.shape[:2]
    longer = max(height, width, side)
    return max(1, round(height * side / longer)), max(1, round(width * side / longer))


@njit(cache=True, nogil=True)
def _means(pixels: Pixels, rows: int, columns: int) -> NDArray[np.float32]:  # pragma: no cover - compiled
    height, width = pixels.shape[0], pixels.shape[1]
    means = np.empty((rows, columns, 3), np.float32)
    for i in range(rows):
        top, bottom = i * height // rows, (i + 1) * height // rows
        down = (bottom - top + SAMPLES - 1) // SAMPLES
        for j in range(columns):
            left, right = j * width // columns, (j + 1) * width // columns
            across = (right - left + SAMPLES - 1) // SAMPLES
            red, green, blue, count = 0, 0, 0, 0
            for y in range(top, bottom, down):
                for x in range(left, right, across):
                    red += pixels[y, x, 0]
                    green += pixels[y, x, 1]
                    blue += pixels[y, x, 2]
                    count += 1
            means[i, j, 0] = red / count
            means[i, j, 1] = green / count
            means[i, j, 2] = blue / count
    return means
