"""Fit images of any size to the one size that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from streams.stores.protocols import Detection

Pixels = NDArray[np.uint8]

#: The grey that YOLO networks are trained to see around a picture.
GREY = 114


class Frame(NamedTuple):
    """Where a letterboxed picture lies, as fractions of the square."""

    left: float
    top: float
    width: float
    height: float

    def to_image(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """A box (left, top, right, bottom) of the square as fractions of the picture, clipped to it."""
        left, top, right, bottom = (
            min(max((edge - start) / extent, 0.0), 1.0)
            for edge, start, extent in zip(box, (self.left, self.top) * 2, (self.width, self.height) * 2, strict=True)
        )
        return left, top, right, bottom


def letterbox(images: Sequence[Pixels], height: int, width: int) -> tuple[Pixels, list[Frame]]:
    """Each image shrunk or grown to fit, centred on grey: ``(n, height, width, 3)`` and where each one lies."""
    fitted = np.full((len(images), height, width, 3), GREY, np.uint8)
    frames: list[Frame] = []
    for canvas, image in zip(fitted, images, strict=True):
        scale = min(height / image.shape[0], width / image.shape[1])
        high, wide = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
        top, left = (height - high) // 2, (width - wide) // 2
        canvas[top : top + high, left : left + wide] = _resized(image, high, wide)
        frames.append(Frame(left / width, top / height, wide / width, high / height))
    return fitted, frames


def stretch(images: Sequence[Pixels], height: int, width: int) -> Pixels:
    """Each image stretched to ``(height, width)``, so that nothing at its edges is lost: ``(n, height, width, 3)``."""
    fitted = np.empty((len(images), height, width, 3), np.uint8)
    for canvas, image in zip(fitted, images, strict=True):
        canvas[:] = _resized(image, height, width)
    return fitted


def crop(image: Pixels, detection: Detection, padding: float) -> Pixels:
    """The pixels of an object, with ``padding`` of its size around it; at least one pixel. A view."""
    height, width = image.shape[:2]
    left, top, right, bottom = detection.box
    aside, above = (right - left) * padding, (bottom - top) * padding
    x, y = int(max(0.0, left - aside) * width), int(max(0.0, top - above) * height)
    x_end = round(min(1.0, right + aside) * width)
    y_end = round(min(1.0, bottom + above) * height)
    x, y = min(x, width - 1), min(y, height - 1)
    return image[y : max(y + 1, y_end), x : max(x + 1, x_end)]


def _resized(image: Pixels, height: int, width: int) -> Pixels:
    if image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(image)
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
