"""Transforms of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from operators.linchpin.columns import Float, Id, Shape, Vector
from operators.linchpin.models import sigmoid as _sigmoid
from operators.linchpin.transform import Same, positive, transform


@transform(missing="kept", shape=positive("unit"))
def log1p(x: Float | Vector, *, unit: float = 1.0) -> Same:
    """log(1 + max(x, 0) / unit), as of counts, or of ages with a unit of 1h."""
    positive = np.maximum(x, np.float32(0))
    return np.log1p(positive if unit == 1 else positive / np.float32(unit))


def _low_below_high(_: Sequence[Shape], given: Mapping[str, Any]) -> None:
    if not given["low"] <= given["high"]:
        raise ValueError("low is not above high")


@transform(missing="kept", shape=_low_below_high)
def clip(x: Float | Vector, *, low: float = float("-inf"), high: float = float("inf")) -> Same:
    """x, but at least low and at most high."""
    return np.clip(x, np.float32(low), np.float32(high))


@transform(missing="kept")
def scale(x: Float | Vector, *, by: float = 1.0, plus: float = 0.0) -> Same:
    """by · x + plus."""
    return x * np.float32(by) + np.float32(plus)


@transform(missing="kept")
def sigmoid(x: Float | Vector) -> Same:
    """1 / (1 + e^-x)."""
    return _sigmoid(x)


@transform(missing="kept")
def platt(x: Float, *, slope: float, shift: float) -> Float:
    """Platt's calibration of a logit: sigmoid(slope · x + shift) (Platt, 1999)."""
    return _sigmoid(x * np.float32(slope) + np.float32(shift))


@transform(missing="kept")
def ratio(part: Float, whole: Float, *, mean: float = 0.0, prior: float = 0.0) -> Float:
    """(part + prior · mean) / (whole + prior): a rate that is near mean while whole is small; missing where 0 / 0."""
    top = part + np.float32(prior) * np.float32(mean)
    return np.divide(top, whole + np.float32(prior))


def _ascending(_: Sequence[Shape], given: Mapping[str, Any]) -> None:
    edges = given["edges"]
    if not edges or any(a >= b for a, b in itertools.pairwise(edges)):
        raise ValueError("edges are ascending, and one at least")


@transform(missing="kept", shape=_ascending)
def bucket(x: Float, *, edges: tuple[float, ...]) -> Id:
    """1 below the first edge, 2 from it to below the second, …: an id for OneHot, Cross or Embedding."""
    return np.where(np.isnan(x), 0, np.searchsorted(np.asarray(edges, np.float32), x, side="right") + 1)


@transform(missing="kept")
def above(x: Float, *, limit: float) -> Float:
    """1 where x is greater than limit, else 0."""
    return np.where(np.isnan(x), np.float32(np.nan), (x > np.float32(limit)).astype(np.float32))


@transform(missing="kept")
def add(*xs: Float) -> Float:
    """The sum, from left to right."""
    total = xs[0].copy()
    for each in xs[1:]:
        total += each
    return total


@transform(missing="kept")
def multiply(*xs: Float) -> Float:
    """The product, from left to right."""
    total = xs[0].copy()
    for each in xs[1:]:
        total *= each
    return total


@transform(missing="handled")
def largest(*xs: Float) -> Float:
    """The largest of those that are known."""
    best = xs[0]
    for each in xs[1:]:
        best = np.fmax(best, each)
    return best
