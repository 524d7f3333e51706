"""Transforms that are models: sums with weights, networks, forests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from operators.linchpin.columns import Float, Kind, Shape, Vector
from operators.linchpin.models import Forest, Layers
from operators.linchpin.transform import transform
from operators.linchpin.transforms.vectors import concat


def _a_weight_each(shapes: Sequence[Shape], given: Mapping[str, Any]) -> None:
    width = sum(shape.width for shape in shapes)
    if len(given["weights"]) != width:
        raise ValueError(f"weights are {len(given['weights'])}, but there are {width} numbers to weigh")


def _terms(*xs: Float | Vector, weights: tuple[float, ...], bias: float = 0.0) -> list[float]:
    numbers = np.concatenate([each.reshape(-1) for each in xs])
    return [float(np.float32(weight) * each) for weight, each in zip(weights, numbers, strict=True)]


@transform(missing="kept", shape=_a_weight_each, terms=_terms)
def weighted_sum(*xs: Float | Vector, weights: tuple[float, ...]) -> Float:
    """Σ weight · x, from left to right: a utility, whose weights change with the spec."""
    return linear(*xs, weights=weights)


@transform(missing="kept", shape=_a_weight_each, terms=_terms)
def linear(*xs: Float | Vector, weights: tuple[float, ...], bias: float = 0.0) -> Float:
    """bias + Σ weight · x, from left to right."""
    columns = [column for each in xs for column in ([each] if each.ndim == 1 else each.T)]
    total = np.full(len(xs[0]), bias, np.float32)
    for column, weight in zip(columns, weights, strict=True):
        total += column * np.float32(weight)
    return total


def _network(shapes: Sequence[Shape], given: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    into, out = given["layers"].width
    if shapes[0].width != into:
        raise ValueError(f"the network takes {into} numbers, but its input is {shapes[0]}")
    return out, ()


@transform(missing="kept", shape=_network)
def mlp(x: Vector, *, layers: Layers) -> Vector:
    """A network of dense layers."""
    return layers(x)


def _deep_enough(shapes: Sequence[Shape], given: Mapping[str, Any]) -> None:
    width = sum(shape.width for shape in shapes)
    if given["model"].width > width:
        raise ValueError(f"the forest looks at {given['model'].width} numbers, but its inputs have {width}")


@transform(missing="handled", shape=_deep_enough)
def forest(*xs: Float | Vector, model: Forest) -> Float:
    """A decision forest (gradient-boosted trees); what is missing goes where each tree says, right by default."""
    return model(xs[0] if len(xs) == 1 and xs[0].ndim == 2 else concat(*xs))


def _summed(shapes: Sequence[Shape], _: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    if len({shape.width for shape in shapes}) != 1 or shapes[0].kind is not Kind.VECTOR:
        raise ValueError("vectors of one width")
    return shapes[0].width, shapes[0].labels


@transform(missing="kept", shape=_summed)
def add_vectors(*xs: Vector) -> Vector:
    """The sum of vectors, from left to right."""
    total = xs[0].copy()
    for each in xs[1:]:
        total += each
    return total
