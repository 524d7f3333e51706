"""The multi-head network that sees the pinner's latest actions (TransAct, KDD 2023, in small).

Each action is a row of (what was done, the pin's vector, how long ago); with early fusion the candidate's vector stands
on every row beside the pin's, with their products and the sum of these, as two layers would need much data to learn to
compare. A two-layer encoder with one head and no place of its own for each action reads the rows; the first ten of what
it says and the largest of each number go on with all other features. With ``append`` the actions are read without the
candidate, which comes beside; with ``none`` not at all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

FUSIONS = ("none", "append", "early")
LENGTH, FIRST, HIDDEN, KIND = 100, 10, 32, 8
#: Normalised inputs further out than this are cut, so that one odd value cannot decide.
BOUND = 5.0
HOUR = 3_600.0
#: While training, what was done in the last T hours is hidden, T uniform up to this many.
WINDOW_HOURS = 24.0


class Actions(NamedTuple):
    """Latest actions of ``P`` moments, newest first: kinds ``(P, L)`` from 1 with 0 for none, vectors ``(P, L, d)``,
    and how many seconds ago ``(P, L)``."""

    kinds: Tensor
    vectors: Tensor
    ages: Tensor

    def of(self, moments: Tensor) -> Actions:
        """Those of some moments, cut to the longest of them."""
        kinds = self.kinds[moments]
        longest = max(1, int((kinds > 0).sum(1).max()) if len(kinds) else 1)
        return Actions(kinds[:, :longest], self.vectors[moments, :longest], self.ages[moments, :longest])

    def windowed(self, generator: torch.Generator | None = None) -> Actions:
        """Without what was done in the last T hours, T drawn for each moment: so that a feed is not of the latest
        action alone. For training only."""
        hours = torch.rand(len(self.kinds), 1, generator=generator) * WINDOW_HOURS
        return self._replace(kinds=self.kinds * (self.ages >= hours * HOUR))


class SequenceNet(nn.Module):
    """Features ``(n, F)``, candidates' vectors ``(n, d)``, actions and rows' moments ``(n,)`` → logits ``(n, H)``."""

    def __init__(self, features: int, vector: int, kinds: int, heads: int, fusion: str = "early") -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"fusion is one of {', '.join(FUSIONS)}")
        self.fusion = fusion
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("slope", torch.ones(heads))
        self.register_buffer("shift", torch.zeros(heads))
        wide = features
        if fusion != "none":
            self.kind = nn.Embedding(kinds + 1, KIND, padding_idx=0)
            row = KIND + 2 + (vector * 3 + 1 if fusion == "early" else vector)
            self.row = nn.Linear(row, HIDDEN)
            layer = nn.TransformerEncoderLayer(HIDDEN, 1, HIDDEN, dropout=0.1, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            wide += HIDDEN * (FIRST + 1) + (vector if fusion == "append" else 0)
        self.trunk = nn.Sequential(
            nn.Linear(wide, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1)
        )
        self.heads = nn.Linear(32, heads)
        #: What a straight line can say need not be learned by the trunk.
        self.wide = nn.Linear(features, heads, bias=False)

    def forward(self, features: Tensor, candidates: Tensor, actions: Actions, moment: Tensor) -> Tensor:
        """Logits that are not calibrated."""
        normal = ((features - self.mean) / self.scale).clamp(-BOUND, BOUND)
        parts = [normal]
        if self.fusion == "early":
            parts.append(self.read(actions.of(moment), candidates))
        elif self.fusion == "append":
            distinct, row = moment.unique(return_inverse=True)
            parts += [self.read(actions.of(distinct), None)[row], candidates]
        return self.heads(self.trunk(torch.cat(parts, 1))) + self.wide(normal)

    def read(self, actions: Actions, candidates: Tensor | None) -> Tensor:
        """``(n, HIDDEN * (FIRST + 1))``: what the encoder says of the first rows, and the largest of all rows."""
        gone = actions.kinds == 0
        # One row that is always there, or attention would divide by nothing.
        gone[:, 0] = False
        vectors = actions.vectors * (actions.kinds > 0)[..., None]
        gaps = torch.stack([torch.log1p(actions.ages) / 16, torch.exp(-actions.ages / HOUR)], 2)
        parts = [self.kind(actions.kinds), vectors, gaps * (actions.kinds > 0)[..., None]]
        if candidates is not None:
            beside = candidates[:, None].expand_as(vectors)
            alike = beside * vectors
            parts += [beside, alike, alike.sum(2, keepdim=True)]
        said = self.encoder(self.row(torch.cat(parts, 2)), src_key_padding_mask=gone)
        said = said.masked_fill(gone[..., None], 0.0)
        first = nn.functional.pad(said[:, :FIRST], (0, 0, 0, max(0, FIRST - said.shape[1])))
        largest = said.masked_fill(gone[..., None], -1e4).max(1).values
        return torch.cat([first.flatten(1), largest], 1)

    def probabilities(self, features: Tensor, candidates: Tensor, actions: Actions, moment: Tensor) -> Tensor:
        """Calibrated probabilities of each head."""
        return torch.sigmoid(self(features, candidates, actions, moment) * self.slope + self.shift)
