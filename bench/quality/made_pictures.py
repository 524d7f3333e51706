"""Pictures whose colours are known, for the palette to find."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from operators.vision.lab import to_lab

Pixels = NDArray[np.uint8]
#: Colours of one picture are at least this far apart (CIE76), so that nobody would call two of them one.
APART = 25.0
#: Linear light across a picture lit from one side; colours are known for its middle.
LIT = (0.8, 1.0)


class Made(NamedTuple):
    """A picture and its colours ``(k, 3)`` sRGB: what it is of first, larger ones before smaller, background last."""

    pixels: Pixels
    colours: Pixels


def colours(draw: np.random.Generator, k: int) -> Pixels:
    found: list[NDArray[np.uint8]] = []
    while len(found) < k:
        new = draw.integers(0, 256, 3, np.uint8)
        if all(np.linalg.norm(to_lab(new) - to_lab(old)) >= APART for old in found):
            found.append(new)
    return np.array(found)


def mosaic(draw: np.random.Generator) -> Made:
    """Tiles of four colours all over the picture, each with 1.6 times as many as the next."""
    known = colours(draw, 4)
    shares = 1.6 ** -np.arange(4)
    counts = np.round(100 * shares / shares.sum()).astype(int)
    counts[0] += 100 - counts.sum()
    tiles = known[draw.permutation(np.repeat(np.arange(4), counts)).reshape(10, 10)]
    return Made(tiles.repeat(27, 0).repeat(27, 1), known)


def discs(draw: np.random.Generator) -> Made:
    """Three discs on a plain background, the largest in the middle."""
    known = colours(draw, 4)
    pixels = np.tile(known[3], (300, 400, 1))
    y, x = np.mgrid[:300, :400]
    for colour, (top, left, radius) in zip(known, ((150, 200, 70), (90, 320, 50), (220, 80, 36)), strict=False):
        pixels[np.hypot(y - top, x - left) < radius] = colour
    return Made(pixels, known)


def noisy(made: Made, draw: np.random.Generator) -> Made:
    noise = draw.normal(scale=12, size=made.pixels.shape)
    return made._replace(pixels=np.clip(made.pixels + noise, 0, 255).astype(np.uint8))


def lit_from_one_side(made: Made, draw: np.random.Generator) -> Made:
    def less(light: NDArray[np.float64] | float, of: Pixels) -> Pixels:
        return np.round(255 * (light * (of / 255) ** 2.2) ** (1 / 2.2)).astype(np.uint8)

    light = np.linspace(*draw.permutation(LIT), made.pixels.shape[1])[:, None]
    return Made(less(light, made.pixels), less(sum(LIT) / 2, made.colours))


def compressed(made: Made, draw: np.random.Generator) -> Made:
    """As JPEG of quality 30 to 70, colours at half the resolution."""
    file = io.BytesIO()
    Image.fromarray(made.pixels).save(file, "JPEG", quality=int(draw.integers(30, 71)))
    return made._replace(pixels=np.asarray(Image.open(file)))


PICTURES: dict[str, Callable[[np.random.Generator], Made]] = {"mosaic": mosaic, "discs": discs}
HARMS: dict[str, Callable[[Made, np.random.Generator], Made]] = {
    "as made": lambda made, _: made,
    "noisy": noisy,
    "lit from one side": lit_from_one_side,
    "compressed": compressed,
}
