"""The ranker's network: a shared trunk and one head an action (save, closeup, outbound click, hide).

Pinnability's shape (multi-task, calibrated per head, 2020) in small. Input normalisation and calibration are
buffers of the network, so that a caller hands in raw features and gets probabilities. Triton serves the same in numpy
(``model_repo/ranker/1/scorer.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = ("save", "closeup", "outbound_click", "hide")
#: Normalised inputs further out than this are cut, so that one odd value cannot decide.
BOUND = 5.0


class Net(nn.Module):
    """(n, F) features → (n, 4) logits, and with :meth:`probabilities` what is served."""

    def __init__(self, features: int, hidden: tuple[int, int] = (64, 32)) -> None:
        super().__init__()
        first, second = hidden
        self.trunk = nn.Sequential(
            nn.Linear(features, first), nn.ReLU(), nn.Dropout(0.2), nn.Linear(first, second), nn.ReLU(), nn.Dropout(0.1)
        )
        self.heads = nn.Linear(second, len(HEADS))
        #: What a straight line can say need not be learned by the trunk.
        self.wide = nn.Linear(features, len(HEADS), bias=False)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        #: Calibration of each head's logit: slope · logit + shift (Platt).
        self.register_buffer("slope", torch.ones(len(HEADS)))
        self.register_buffer("shift", torch.zeros(len(HEADS)))

    def forward(self, features: Tensor) -> Tensor:
        """Uncalibrated logits of an action, given that the pin is looked at."""
        normal = ((features - self.mean) / self.scale).clamp(-BOUND, BOUND)
        return self.heads(self.trunk(normal)) + self.wide(normal)

    def probabilities(self, features: Tensor) -> Tensor:
        """Calibrated probabilities of each action, given that the pin is looked at."""
        return torch.sigmoid(self(features) * self.slope + self.shift)
