"""Metrics of rankings and of probabilities over plain arrays. Higher is better but for :func:`calibration_error`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def recall_at(hits: NDArray[np.bool_], wanted: NDArray[np.int64]) -> Floats:
    """``(n,)``: share of the ``wanted`` ``(n,)`` items that stand among the first k; ``hits`` ``(n, k)``.

    Over all that are wanted, also where these are more than k.
    """
    return hits.sum(axis=1) / np.maximum(wanted, 1)


def ndcg_at(hits: NDArray[np.bool_], wanted: NDArray[np.int64]) -> Floats:
    """``(n,)``: gain of ``hits`` ``(n, k)``, discounted by place, over the best that ``wanted`` ``(n,)`` items can."""
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(wanted, hits.shape[1])]
    return (hits * discounts).sum(axis=1) / np.maximum(ideal, discounts[-1])


def rank_among(positive: Floats, negatives: Floats) -> NDArray[np.int64]:
    """``(n,)``: place, from 0, of one positive ``(n,)`` among its negatives ``(n, m)``; half of the ties are ahead."""
    ahead = (negatives > positive[:, None]).sum(axis=1)
    ties = (negatives == positive[:, None]).sum(axis=1)
    return ahead + (ties + 1) // 2


def hit_rate(places: NDArray[np.int64], k: int = 10) -> float:
    """Share of the positives among the first ``k``."""
    return float((places < k).mean())


def ndcg_of_one(places: NDArray[np.int64], k: int = 10) -> float:
    """NDCG where one item is right."""
    return float(np.where(places < k, 1 / np.log2(places + 2.0), 0).mean())


def auc(truth: NDArray[np.bool_], scores: Floats) -> float:
    """Area under the ROC curve, ties counted half; NaN when only one class is there."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # mean rank, from 1, of each distinct score
    return float((middle[inverse][truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def weighted_auc(truth: NDArray[np.bool_], scores: Floats, weights: Floats) -> float:
    """:func:`auc` of rows that count ``weights`` times: with 1 / propensity, as if everything were shown equally."""
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    positive, negative = (np.add.reduceat(weights[order] * kind[order], starts) for kind in (truth, ~truth))
    below = np.cumsum(negative) - negative / 2
    total = float(positive.sum() * negative.sum())
    return float((positive * below).sum()) / total if total else float("nan")


def bootstrap(
    truth: NDArray[np.bool_], scores: Floats, groups: NDArray[np.int64], rounds: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of :func:`auc`, resampling whole ``groups`` (pinners), as rows of one are not independent."""
    chance = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    values: list[float] = []
    for _ in range(rounds):
        drawn = chance.integers(0, len(starts), len(starts))
        rows = order[np.concatenate([np.arange(starts[one], starts[one] + counts[one]) for one in drawn])]
        values.append(auc(truth[rows], scores[rows]))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def calibration_error(truth: NDArray[np.bool_], probabilities: Floats, bins: int = 15) -> float:
    """Expected calibration error over ``bins`` of equally many rows: mean of \\|rate − mean probability\\|."""
    order = np.argsort(probabilities, kind="stable")
    error = 0.0
    for rows in np.array_split(order, bins):
        if len(rows):
            error += len(rows) * abs(float(truth[rows].mean()) - float(probabilities[rows].mean()))
    return error / max(1, len(truth))
