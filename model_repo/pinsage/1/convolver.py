"""The trained PinSage in numpy: what ``training/pinsage_net.py`` computes, without torch.

Ying et al., "Graph Convolutional Neural Networks for Web-Scale Recommender Systems", KDD 2018, algorithms 1 and 2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LAYERS = 2


class Convolver:
    """The network whose weights ``training/pinsage.py`` wrote to ``path`` (npz)."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as stored:
            weights = {name: stored[name].astype(np.float32) for name in stored.files}
        self.layers = [
            tuple((weights[f"layers.{at}.{name}.weight"].T, weights[f"layers.{at}.{name}.bias"]) for name in "QW")
            for at in range(LAYERS)
        ]
        self.first, self.last = (weights["G1.weight"].T, weights["G1.bias"]), weights["G2.weight"].T

    def __call__(self, features: Floats, neighbours: NDArray[np.int32], weights: Floats, asked: int) -> Floats:
        """``(m, f)`` and the subgraph's ``(p, size)`` → ``(asked, d)``, L2-normalised.

        Raises ValueError for a subgraph that is none.
        """
        p = len(neighbours)
        if not 0 < asked <= p <= len(features) or neighbours.shape != weights.shape:
            raise ValueError(
                f"{asked} pins asked for, {p} with neighbours, {len(features)} with features: not a subgraph"
            )
        if neighbours.max() >= len(features) or neighbours[:asked].max() >= p or neighbours.min() < -1:
            raise ValueError("a neighbour's place is beyond the pins that are sent")
        h = features
        for (q, w), rows in zip(self.layers, (p, asked), strict=True):
            gathered = np.maximum(h @ q[0] + q[1], 0)
            shares = np.where(neighbours[:rows] >= 0, weights[:rows], 0)
            pooled = np.einsum("ps,psh->ph", shares, gathered[np.maximum(neighbours[:rows], 0)])
            h = _normalised(np.maximum(np.concatenate([h[:rows], pooled], 1) @ w[0] + w[1], 0))
        return _normalised(np.maximum(h @ self.first[0] + self.first[1], 0) @ self.last)


def _normalised(rows: Floats) -> Floats:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
