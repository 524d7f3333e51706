"""Transforms that make vectors, and of vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from operators.linchpin.columns import Float, Shape, Vector
from operators.linchpin.kernels import dots
from operators.linchpin.transform import Same, transform


def _joined(shapes: Sequence[Shape], _: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    labels = tuple(label for shape in shapes for label in shape.labels)
    if len(set(labels)) != len(labels):
        raise ValueError(f"{next(each for each in labels if labels.count(each) > 1)} would be in it twice")
    return len(labels), labels


@transform(missing="handled", shape=_joined)
def concat(*xs: Float | Vector) -> Vector:
    """Numbers and vectors side by side, each under its own name; what is missing stays missing."""
    if all(each.ndim == 1 for each in xs):
        return np.ascontiguousarray(np.array(xs, np.float32).T)  # quicker than column by column
    widths = [1 if each.ndim == 1 else each.shape[1] for each in xs]
    out = np.empty((len(xs[0]), sum(widths)), np.float32)
    at = 0
    for each, width in zip(xs, widths, strict=True):
        if each.ndim == 1:
            out[:, at] = each
        else:
            out[:, at : at + width] = each
        at += width
    return out


def _within(shapes: Sequence[Shape], given: Mapping[str, Any]) -> None:
    if not 0 <= given["at"] < shapes[0].width:
        raise ValueError(f"at is from 0 to {shapes[0].width - 1}")


@transform(missing="kept", shape=_within)
def pick(x: Vector, *, at: int) -> Float:
    """One number of a vector, counted from 0."""
    return x[:, at]


def _alike(shapes: Sequence[Shape], _: Mapping[str, Any]) -> None:
    if shapes[0].width != shapes[1].width:
        raise ValueError(f"a {shapes[0]} and a {shapes[1]} have different widths")


@transform(missing="kept", shape=_alike)
def dot(a: Vector, b: Vector) -> Float:
    """Inner product."""
    return dots(a, b)


@transform(missing="kept", shape=_alike)
def cosine(a: Vector, b: Vector) -> Float:
    """Cosine, -1 to 1; missing where either has no length."""
    lengths = np.sqrt(dots(a, a)) * np.sqrt(dots(b, b))
    return np.clip(np.where(lengths > 0, dots(a, b), np.nan) / lengths, -1, 1)


def _as_wide(shapes: Sequence[Shape], given: Mapping[str, Any]) -> None:
    width = shapes[0].width
    if len(given["mean"]) != width or len(given["scale"]) != width:
        raise ValueError(f"mean and scale have {width} numbers each, as many as the input")
    if any(each <= 0 for each in given["scale"]):
        raise ValueError("scale is above 0")
    if given["bound"] <= 0:
        raise ValueError("bound is above 0")


@transform(missing="kept", shape=_as_wide)
def normalise(x: Vector, *, mean: tuple[float, ...], scale: tuple[float, ...], bound: float = float("inf")) -> Same:
    """(x - mean) / scale of each number, cut at ± bound."""
    normal = (x - np.asarray(mean, np.float32)) / np.asarray(scale, np.float32)
    return np.clip(normal, np.float32(-bound), np.float32(bound))
