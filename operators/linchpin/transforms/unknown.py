"""Transforms of what is not known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.linchpin.columns import NO_ID, Float, Id, IdSet, Sets, Text, Vector
from operators.linchpin.kernels import finite
from operators.linchpin.transform import Same, transform


@transform(missing="handled")
def if_missing(x: Float | Vector, *, value: float = 0.0) -> Same:
    """x, or value where x is missing or infinite."""
    return finite(x.reshape(-1), np.float32(value)).reshape(x.shape)


@transform(missing="handled")
def or_else(x: Float, other: Float) -> Float:
    """x, or other where x is missing."""
    return np.where(np.isnan(x), other, x)


@transform(missing="handled")
def missing(x: Float | Id | Text | IdSet | Vector) -> Float:
    """1 where x is missing (of a vector: any of its numbers), else 0."""
    if isinstance(x, Sets):
        return np.diff(x.starts) == 0
    if x.dtype == object:
        return np.array([each is None for each in x], np.bool_)
    if x.dtype == np.int64:
        return np.equal(x, NO_ID)
    gone: NDArray[Any] = np.isnan(x)
    return np.logical_or.reduce(gone, axis=1) if gone.ndim == 2 else gone


@transform(missing="handled")
def count_known(*xs: Float) -> Float:
    """How many of these are known."""
    count = np.zeros(len(xs[0]), np.int16)
    for each in xs:
        count += each == each  # NaN is not itself
    return count


@transform(missing="kept")
def copy(x: Float | Vector) -> Same:
    """x under another name."""
    return x
