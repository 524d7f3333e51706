"""The trained ranker in numpy: what ``training/ranker_net.py`` computes, without torch.

1,000 candidates are 10 megaflops, which a CPU does in a millisecond; importing torch takes seconds of every start.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: Normalised inputs further out than this are cut, so that one odd value cannot decide.
BOUND = 5.0


class Scorer:
    """The network whose weights ``training/ranker.py`` wrote to ``path`` (npz)."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as stored:
            weights = {name: stored[name] for name in stored.files if name != "names"}
        self.mean, self.scale = weights["mean"], weights["scale"]
        self.trunk = [(weights[f"trunk.{layer}.weight"].T, weights[f"trunk.{layer}.bias"]) for layer in (0, 3)]
        self.heads, self.bias = weights["heads.weight"].T, weights["heads.bias"]
        self.wide = weights["wide.weight"].T
        self.slope, self.shift = weights["slope"], weights["shift"]

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, F) features → (n, 4) calibrated probabilities, given that the pin is looked at."""
        normal = np.clip((features - self.mean) / self.scale, -BOUND, BOUND)
        hidden = normal
        for weight, bias in self.trunk:
            hidden = np.maximum(hidden @ weight + bias, 0)
        logits = hidden @ self.heads + self.bias + normal @ self.wide
        return 1 / (1 + np.exp(-(logits * self.slope + self.shift)))
