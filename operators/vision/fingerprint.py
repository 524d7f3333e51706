"""Fingerprints of pictures: 256 bits that stay nearly the same when a picture is saved again.

Perceptual hash by the cosine transform: brightness, shrunk to 64 × 64 by area, its 16 × 16 lowest frequencies, each a
bit by its sign (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010). A coefficient's
sign does not change with brightness or contrast. A picture has several views, the whole and the whole without its
edges: the whole of a cropped or framed copy is then about what a view of the original is, or the other way round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

#: ``(..., WORDS)`` uint64.
Fingerprints = NDArray[np.uint64]

BITS = 256
WORDS = BITS // 64
#: Frequencies kept in each direction; 16 × 16 are the bits.
FREQUENCIES = 16
#: Pixels a side of the picture that is transformed: four for each half-wave of the highest frequency kept.
SIDE = 64
#: What each view leaves out on every side, as a share of width and height; the first is the whole.
VIEWS = (0.0, 0.02, 0.04)
#: Share of red, green and blue in brightness (ITU-R BT.601).
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
#: Spread of brightness (of 0 … 255) below which a picture shows nothing that rounding could not have made.
FLAT = 1.0


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprints:
    """``(height, width, 3)`` RGB → ``(len(VIEWS), WORDS)``, the whole first; all 0 for a picture of one colour.

    Raises:
        ValueError: there are no three channels, or no pixels.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"a fingerprint is of (height, width, 3) pixels, not {pixels.shape}")
    bright = pixels @ LUMINANCE
    if bright.std() < FLAT:
        return np.zeros((len(VIEWS), WORDS), np.uint64)
    return np.stack([_bits(_shrunk(bright, share)) for share in VIEWS])


def distances(left: Fingerprints, right: Fingerprints) -> NDArray[np.int64]:
    """How many bits differ between pictures, ``(..., views, WORDS)`` each, broadcast → ``(...)``.

    The least of either whole against every view of the other, so that left and right may change places.
    """
    ours = np.bitwise_count(left[..., :1, :] ^ right).sum(-1, dtype=np.int64).min(-1)
    theirs = np.bitwise_count(left ^ right[..., :1, :]).sum(-1, dtype=np.int64).min(-1)
    return np.minimum(ours, theirs)


def _bits(square: NDArray[np.float32]) -> Fingerprints:
    waves: NDArray[np.float32] = np.asarray(dctn(square))
    # The mean is always positive and says nothing: the next frequency along the diagonal takes its place.
    waves[0, 0] = waves[FREQUENCIES, FREQUENCIES]
    return np.packbits(waves[:FREQUENCIES, :FREQUENCIES] > 0).view(np.uint64)


def _shrunk(bright: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """``(height, width)`` without a ``share`` on each side, as ``(SIDE, SIDE)`` means over equal areas."""
    height, width = bright.shape
    return np.asarray(_areas(height, share) @ bright @ _areas(width, share).T, np.float32)


def _areas(extent: int, share: float) -> NDArray[np.float32]:
    """``(SIDE, extent)``: how much of each pixel lies in each of the equal parts of a side; rows add up to 1."""
    edges = np.linspace(share, 1 - share, SIDE + 1) * extent
    covered = np.clip(edges[:, None] - np.arange(extent), 0, 1)
    parts = np.diff(covered, axis=0)
    return (parts / parts.sum(1, keepdims=True)).astype(np.float32)
