"""Transforms of ids, texts and sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.identity import stable_id
from operators.linchpin.columns import NO_ID, Float, Id, IdSet, Kind, Shape, Text, Vector
from operators.linchpin.kernels import common_ids
from operators.linchpin.tables import Table, inline
from operators.linchpin.transform import positive, transform


@transform(missing="kept")
def text_id(text: Text) -> Id:
    """The id of a text, the same as events have it; the empty text is missing."""
    return np.array([stable_id(each) if each else NO_ID for each in text], np.int64)


@transform(missing="kept", shape=positive("buckets"))
def hash(x: Id | Text, *, buckets: int, seed: int = 0) -> Id:
    """A bucket from 1 to buckets, the same for the same id everywhere and always."""
    return cross(x, buckets=buckets, seed=seed)


@transform(missing="kept", shape=positive("buckets"))
def cross(*xs: Id | Text, buckets: int, seed: int = 0) -> Id:
    """A bucket from 1 to buckets for the combination of several ids; their order counts."""
    mixed = np.full(len(xs[0]), seed & 0xFFFFFFFFFFFFFFFF, np.uint64)
    known = np.ones(len(xs[0]), np.bool_)
    for each in xs:
        ids = text_id(each) if each.dtype == object else each
        known &= ids != NO_ID
        mixed = _mix(mixed + ids.astype(np.uint64))
    return np.where(known, (mixed % np.uint64(buckets)).astype(np.int64) + 1, NO_ID)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _one_each(shapes: Sequence[Shape], given: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    values = given["values"]
    texts = shapes[0].kind is Kind.TEXT
    if not values or len(set(values)) != len(values):
        raise ValueError("values are different, and one at least")
    if any(isinstance(each, str) != texts for each in values):
        raise ValueError(f"values are {'texts' if texts else 'ids'}, as its input is")
    return len(values), tuple(f"{shapes[0].labels[0]}_{each}" for each in values)


@transform(missing="handled", shape=_one_each)
def one_hot(x: Id | Text, *, values: tuple[int, ...] | tuple[str, ...]) -> Vector:
    """1 in the place of the value that x is, else 0; all 0 where x is missing or none of them."""
    return np.stack([x == each for each in values], axis=1).astype(np.float32)


def _one_table(_: Sequence[Shape], given: Mapping[str, Any]) -> None:
    table: Table | None = given["table"]
    if (table is None) != bool(given["ids"]):
        raise ValueError('give either table=@"file" or ids=[…], values=[…]')
    if table is None:
        table = inline(given["ids"], given["values"])
    if table.values.shape[1] != 1:
        raise ValueError("the table has vectors: use Embedding")


@transform(missing="handled", shape=_one_table)
def lookup(
    x: Id,
    *,
    table: Table | None = None,
    ids: tuple[int, ...] | tuple[str, ...] = (),
    values: tuple[float, ...] = (),
    default: float = float("nan"),
) -> Float:
    """The number that a table has for an id; default (missing when left out) for ids that it has not."""
    found, known = (table or inline(ids, values)).rows(x)
    return np.where(known, found[:, 0], np.float32(default))


def _table_width(_: Sequence[Shape], given: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    return given["table"].values.shape[1], ()


@transform(missing="handled", shape=_table_width)
def embedding(x: Id, *, table: Table, default: float = float("nan")) -> Vector:
    """The vector that a table has for an id; all default (missing when left out) for ids that it has not."""
    found, known = table.rows(x)
    return np.where(known[:, None], found, np.float32(default))


@transform(missing="handled")
def size(x: IdSet) -> Float:
    """How many ids are in a set."""
    return np.diff(x.starts)


@transform(missing="handled")
def contains(x: IdSet, id: Id) -> Float:
    """1 where the id is in the set, else 0."""
    rows = np.repeat(np.arange(len(id)), np.diff(x.starts))
    found = np.zeros(len(id), np.float32)
    found[rows[x.ids == id[rows]]] = 1
    return found


@transform(missing="kept")
def overlap(a: IdSet, b: IdSet) -> Float:
    """Jaccard: what two sets have in common as a share of what is in either; missing where one is empty."""
    common = common_ids(a.starts, a.ids, b.starts, b.ids)
    sizes = np.diff(a.starts), np.diff(b.starts)
    either = sizes[0] + sizes[1] - common
    known = (sizes[0] > 0) & (sizes[1] > 0)
    return np.divide(common, either, out=np.full(len(common), np.nan), where=known)
