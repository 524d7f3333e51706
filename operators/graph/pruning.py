"""Pruning: which edges a graph is better without.

After "Pixie" (WWW 2018), section 3.2: boards whose pins are about everything go; of a pin with many boards the
``|E(p)|^δ`` stay that are nearest to it by topic. Edges come in order of arrival; without topics the newest stay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Nodes = NDArray[np.intp]
Mask = NDArray[np.bool_]


def board_topics(boards: Nodes, pins: Nodes, topics: Floats, n_boards: int) -> Floats:
    """Mean topics of each board's pins, ``(n_boards, t)``, from edges ``(e,)`` and ``topics`` ``(pins, t)`` ≥ 0."""
    sums = np.zeros((n_boards, topics.shape[1]), np.float32)
    np.add.at(sums, boards, topics[pins])
    return sums / np.maximum(np.bincount(boards, minlength=n_boards), 1)[:, None].astype(np.float32)


def diffuse(of_boards: Floats, entropy: float) -> Mask:
    """Which boards' topics are spread wider than ``entropy``, a share of the largest possible; ``(n, t) -> (n,)``."""
    share = of_boards / np.maximum(of_boards.sum(1, keepdims=True), 1e-12)
    spread = -(share * np.log(np.maximum(share, 1e-12))).sum(1)
    return spread > entropy * np.log(max(of_boards.shape[1], 2))


def kept(pins: Nodes, delta: float, nearness: Floats | None = None) -> Mask:
    """Which edges stay when every pin keeps ``⌈degree^delta⌉`` of its own; ``pins`` ``(e,)``.

    Those of the largest ``nearness`` ``(e,)``, else the newest; equal ones the newest.
    """
    age = np.arange(len(pins))
    order = np.lexsort((-age, np.zeros(len(pins)) if nearness is None else -nearness, pins))
    sorted_pins = pins[order]
    first = np.searchsorted(sorted_pins, sorted_pins)
    degree = np.searchsorted(sorted_pins, sorted_pins, side="right") - first
    # Rounded first: 8^(2/3) is 4, not a little more.
    stays = np.arange(len(pins)) - first < np.ceil(np.round(degree.astype(np.float64) ** delta, 9))
    out = np.zeros(len(pins), np.bool_)
    out[order[stays]] = True
    return out


def nearness(pins: Nodes, boards: Nodes, topics: Floats, of_boards: Floats) -> Floats:
    """Cosine of the topics of each edge's pin and board, ``(e,)``; 0 where either has none."""
    lengths = np.linalg.norm(topics, axis=1)[pins] * np.linalg.norm(of_boards, axis=1)[boards]
    products = np.einsum("et,et->e", topics[pins], of_boards[boards])
    return np.where(lengths > 0, products / np.maximum(lengths, 1e-12), 0).astype(np.float32)
