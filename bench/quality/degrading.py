"""Photos made worse the way cameras and people do it. Strengths of blur are in pixels of a photo 300 long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

Pixels = NDArray[np.uint8]
#: Strengths are told for photos of this length and grow with the photo.
LENGTH = 300
#: The exponent that stands for sRGB's curve.
GAMMA = 2.2


def out_of_focus(pixels: Pixels, radius: float) -> Pixels:
    """A disc, as an open lens draws a point that it is not focused on."""
    radius *= max(pixels.shape) / LENGTH
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return _spread(pixels, np.clip(radius + 0.5 - np.hypot(y, x), 0, 1))


def moved(pixels: Pixels, length: float, angle: float) -> Pixels:
    """A line, as a camera draws a point while it moves; the angle in radians."""
    length *= max(pixels.shape) / LENGTH
    reach = int(np.ceil(length / 2)) + 1
    way = np.linspace(-length / 2, length / 2, 16 * reach)
    kernel, *_ = np.histogram2d(
        way * np.sin(angle), way * np.cos(angle), bins=2 * reach + 1, range=[[-reach - 0.5, reach + 0.5]] * 2
    )
    return _spread(pixels, kernel)


def softened(pixels: Pixels, sigma: float) -> Pixels:
    """A Gaussian."""
    sigma *= max(pixels.shape) / LENGTH
    return _bytes(gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0)))


def underexposed(pixels: Pixels, gain: float, draw: np.random.Generator) -> Pixels:
    """So much of the light, with the noise of few photons."""
    light = gain * (pixels / 255) ** GAMMA
    noisy = light + draw.normal(scale=0.03 * np.sqrt(light + 1e-3))
    return _bytes(255 * np.clip(noisy, 0, 1) ** (1 / GAMMA))


def sunk(pixels: Pixels, gamma: float, draw: np.random.Generator) -> Pixels:
    """Middle tones pushed down, white left white, with a little noise."""
    return _bytes(255 * (pixels / 255) ** gamma + draw.normal(scale=2.5, size=pixels.shape))


def _spread(pixels: Pixels, kernel: NDArray[np.float64]) -> Pixels:
    reach = len(kernel) // 2
    padded = np.pad(pixels.astype(np.float32), ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return _bytes(fftconvolve(padded, (kernel / kernel.sum()).astype(np.float32)[..., None], mode="valid", axes=(0, 1)))


def _bytes(values: NDArray[np.floating]) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
