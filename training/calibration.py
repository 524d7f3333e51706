"""How good probabilities are: AUC, log-loss, expected calibration error; and Platt's calibration of a head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auc(predicted: Floats, happened: NDArray[np.bool_]) -> float:
    """Chance that a positive is predicted above a negative, ties counting half; NaN without one of either."""
    positives = int(happened.sum())
    negatives = len(happened) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((rank[happened].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(predicted: Floats, happened: NDArray[np.bool_]) -> float:
    """Mean negative log-likelihood, in nats."""
    p = np.clip(predicted, 1e-7, 1 - 1e-7)
    return float(-np.where(happened, np.log(p), np.log1p(-p)).mean())


def calibration_error(predicted: Floats, happened: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error over bins of equal size: mean |predicted - observed| (Naeini et al., AAAI 2015)."""
    parts = np.array_split(np.argsort(predicted, kind="stable"), bins)
    gaps = [abs(predicted[part].mean() - happened[part].mean()) * len(part) for part in parts if len(part)]
    return float(sum(gaps) / len(predicted))


def platt(logits: Floats, happened: NDArray[np.bool_], examined: Floats, prior: float = 20.0) -> tuple[float, float]:
    """``(slope, shift)`` that make ``examined · σ(slope · logit + shift)`` most likely.

    ``prior`` pulls the slope to 1, as strongly as so many squared units: few positives say little of a slope.
    Platt, "Probabilistic outputs for support vector machines", 1999; found by Fisher scoring.
    """
    parameters = np.array([1.0, 0.0])
    columns = np.stack([logits, np.ones_like(logits)], axis=1)
    for _ in range(100):
        sigmoid = 1 / (1 + np.exp(-(columns @ parameters)))
        p = np.clip(examined * sigmoid, 1e-9, 1 - 1e-9)
        by_logit = examined * sigmoid * (1 - sigmoid)  # dp/dz
        gradient = columns.T @ ((happened - p) / (p * (1 - p)) * by_logit) - [prior * (parameters[0] - 1), 0]
        information = (columns * (by_logit**2 / (p * (1 - p)))[:, None]).T @ columns + np.diag([prior, 1e-6])
        step = np.clip(np.linalg.solve(information, gradient), -1, 1)
        parameters = parameters + step
        if np.abs(step).max() < 1e-8:
            break
    return float(parameters[0]), float(parameters[1])
