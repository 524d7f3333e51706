"""Whitening: directions in which all vectors of a memory vary alike say little about any of them.

Principal components, each scaled to the same spread, the small ones dropped (Jégou and Chum, "Negative evidences and
co-occurences in image retrieval", ECCV 2012).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Added to each variance, as a share of the mean of those kept: small ones are mostly noise.
SHRINKAGE = 0.1


class Whitening(NamedTuple):
    """A shift and a linear map."""

    mean: NDArray[np.float64]
    projection: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.floating], dimensions: int) -> Whitening:
        """Learn from vectors ``(n, d)``; at most ``dimensions`` directions are kept.

        Raises:
            ValueError: there are fewer than two vectors.
        """
        if len(vectors) < 2:
            raise ValueError(f"whitening is learned from two vectors at least, not {len(vectors)}")
        mean = vectors.mean(0, dtype=np.float64)
        _, spread, directions = np.linalg.svd(vectors - mean, full_matrices=False)
        variance = spread[:dimensions] ** 2 / len(vectors)
        return cls(mean, directions[:dimensions].T / np.sqrt(variance + SHRINKAGE * variance.mean() + 1e-12))

    def __call__(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(n, d)`` → ``(n, dimensions)``, L2-normalised; the mean itself becomes zero."""
        turned = (vectors - self.mean) @ self.projection
        return turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
