"""sRGB and CIELAB: IEC 61966-2-1 and CIE 15, white point D65, 2° observer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.vision.area_means import Pixels

Lab = NDArray[np.float32]

#: Linear red, green and blue to X, Y and Z (IEC 61966-2-1), each as a share of white's.
_SRGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_TO_XYZ = _SRGB / _SRGB.sum(axis=1, keepdims=True)
_FROM_XYZ = np.linalg.inv(_TO_XYZ)
#: f(X), f(Y), f(Z) to L*, a*, b*; L* is 16 less.
_TO_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])
_FROM_LAB = np.linalg.inv(_TO_LAB)
_BLACK = np.array([16, 0, 0])
#: Below this root CIELAB is a straight line.
_ROOT = 6 / 29
#: Above this, sRGB is a power; below, a straight line.
_SRGB_LINE = 0.0031308


def to_lab(rgb: Pixels | NDArray[np.float32]) -> Lab:
    """sRGB ``(..., 3)`` in 0 … 255, whole or not, to CIELAB ``(..., 3)``: L* in 0 … 100, a* and b* about ±128."""
    share = np.asarray(rgb, np.float64) / 255
    linear = np.where(share <= 12.92 * _SRGB_LINE, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T
    root = np.where(xyz > _ROOT**3, np.cbrt(xyz), xyz / (3 * _ROOT**2) + 4 / 29)
    return (root @ _TO_LAB.T - _BLACK).astype(np.float32)


def to_rgb(lab: Lab) -> Pixels:
    """CIELAB ``(..., 3)`` to the nearest sRGB ``(..., 3)``; what no screen can show is cut off."""
    root = (np.asarray(lab, np.float64) + _BLACK) @ _FROM_LAB.T
    xyz = np.where(root > _ROOT, root**3, 3 * _ROOT**2 * (root - 4 / 29))
    linear = np.clip(xyz @ _FROM_XYZ.T, 0, 1)
    share = np.where(linear <= _SRGB_LINE, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * share).astype(np.uint8)
