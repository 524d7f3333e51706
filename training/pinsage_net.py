"""PinSage's network, and what else is on its ladder: the same head over no neighbours, over their mean, their maximum.

Ying et al., "Graph Convolutional Neural Networks for Web-Scale Recommender Systems", KDD 2018, algorithms 1 and 2:
``n_u = Σ α_v ReLU(Q h_v + q)``, ``z = ReLU(W [h_u ‖ n_u] + w)``, ``z / ‖z‖``, twice; then ``G2 ReLU(G1 h + g)``,
L2-normalised, so that inner products are cosines. Triton serves the same in numpy (``model_repo/pinsage``).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, normalize, relu

Pooling = Literal["none", "max", "mean", "importance"]
#: What of a pin is looked at, beside its degree.
Modality = Literal["all", "visual", "text"]
HIDDEN, WIDTH, LAYERS = 256, 256, 2
#: What the logarithm of the degree counts beside a picture and a text of length one.
DEGREE_SCALE = 0.1


def inputs(visual: Tensor, text: Tensor, degrees: Tensor) -> Tensor:
    """``(n, d)``, ``(n, t)``, ``(n,)`` → ``(n, d + t + 1)``: x = [visual ‖ text ‖ log degree]."""
    return torch.cat([visual, text, DEGREE_SCALE * torch.log1p(degrees)[:, None]], 1)


class Convolution(nn.Module):
    """One layer: ``(m, f)`` of all and neighbours ``(p, size)`` of the first ``p`` → ``(p, hidden)``, L2-normalised."""

    def __init__(self, features: int, hidden: int, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling
        self.Q = nn.Linear(features, hidden)
        self.W = nn.Linear(features + hidden, hidden)

    def forward(self, h: Tensor, neighbours: Tensor, weights: Tensor) -> Tensor:
        """``weights`` of importance; those that pool otherwise see only which there are."""
        there = (neighbours >= 0).to(h.dtype)
        # One row more, of zeros: what is not there points to it.
        gathered = torch.cat([relu(self.Q(h)), h.new_zeros(1, self.Q.out_features)])
        places = torch.where(neighbours >= 0, neighbours, len(h)).long()
        if self.pooling == "max":
            pooled = embedding_bag(places, gathered, mode="max")
        else:
            shares = weights if self.pooling == "importance" else there / there.sum(1, keepdim=True).clamp_min(1)
            pooled = embedding_bag(places, gathered, mode="sum", per_sample_weights=shares.to(h.dtype))
        own = h[: len(neighbours)]
        return normalize(relu(self.W(torch.cat([own, pooled], 1))), dim=1)


class PinSage(nn.Module):
    """``(m, features)`` and a subgraph → ``(asked, WIDTH)``, L2-normalised. Pooling ``none``: the combined MLP."""

    def __init__(self, features: int, pooling: Pooling, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.pooling = pooling
        if pooling == "none":
            self.first = nn.Linear(features, hidden)
        else:
            self.layers = nn.ModuleList(
                Convolution(features if not layer else hidden, hidden, pooling) for layer in range(LAYERS)
            )
        self.G1, self.G2 = nn.Linear(hidden, hidden), nn.Linear(hidden, WIDTH, bias=False)
        for name, weight in self.named_parameters():
            # Biases would make all alike before anything is learned.
            nn.init.zeros_(weight) if name.endswith("bias") else nn.init.kaiming_normal_(weight, nonlinearity="relu")

    def forward(self, x: Tensor, neighbours: Tensor, weights: Tensor, asked: int) -> Tensor:
        """``x`` ``(m, features)``; ``neighbours``, ``weights`` as in ``operators.graph.subgraph.Subgraph``."""
        if self.pooling == "none":
            h = normalize(relu(self.first(x[:asked])), dim=1)
        else:
            h = self.layers[0](x, neighbours, weights)
            h = self.layers[1](h, neighbours[:asked], weights[:asked])
        return normalize(self.G2(relu(self.G1(h))), dim=1)


def margin_loss(queries: Tensor, positives: Tensor, negatives: Tensor, hard: Tensor, margin: float) -> Tensor:
    """``E max(0, z_q·z_n − z_q·z_i + Δ)`` over shared ``negatives`` ``(m, d)`` and each its ``hard`` ``(b, h, d)``."""
    right = (queries * positives).sum(1, keepdim=True)
    wrong = torch.cat([queries @ negatives.T, torch.einsum("bd,bhd->bh", queries, hard)], 1)
    return relu(wrong - right + margin).mean()
