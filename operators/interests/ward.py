"""Ward's clustering of a few hundred vectors, merged while the merge costs less than a threshold."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@njit(cache=True)
def _merges(distances):  # type: ignore[no-untyped-def]
    """(n − 1, 3): two clusters by one of their members, and the squared height; ``distances`` is used up.

    Chains of nearest neighbours (Murtagh, 1983): O(n²), as Lance–Williams' Ward never brings a third cluster nearer.
    """
    n = len(distances)
    sizes = np.ones(n)
    out = np.empty((n - 1, 3))
    chain = np.empty(n, np.int64)
    length = 0
    for merge in range(n - 1):
        if length == 0:
            for i in range(n):
                if sizes[i] > 0:
                    chain[0] = i
                    length = 1
                    break
        while True:
            x = chain[length - 1]
            # The one before in the chain wins ties, or the chain would go round.
            y, least = -1, np.inf
            if length > 1:
                y = chain[length - 2]
                least = distances[x, y]
            for i in range(n):
                if sizes[i] > 0 and i != x and distances[x, i] < least:
                    least = distances[x, i]
                    y = i
            if length > 1 and y == chain[length - 2]:
                break
            chain[length] = y
            length += 1
        length -= 2
        out[merge, 0], out[merge, 1], out[merge, 2] = x, y, distances[x, y]
        a, b, between = sizes[x], sizes[y], distances[x, y]
        for k in range(n):
            c = sizes[k]
            if c > 0 and k != x and k != y:
                apart = ((a + c) * distances[x, k] + (b + c) * distances[y, k] - c * between) / (a + b + c)
                distances[y, k] = distances[k, y] = apart
        sizes[x] = 0
        sizes[y] = a + b
    return out


def clusters(vectors: Floats, threshold: float) -> NDArray[np.int64]:
    """``(n,)``: the cluster of each vector ``(n, d)``, from 0 in order of first appearance; their number is free.

    Lance–Williams over squared Euclidean distances, as in PinnerSage (KDD 2020). ``threshold`` is a distance, as in
    SciPy's ``fcluster(linkage(vectors, "ward"), threshold, "distance")``, which gives the same clusters.
    """
    n = len(vectors)
    parents = list(range(n))
    if n > 1:
        points = vectors.astype(np.float64)
        squares = (points**2).sum(axis=1)
        distances = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0.0)
        merges = _merges(distances)
        for x, y, _ in merges[merges[:, 2] <= threshold * threshold].tolist():
            parents[_root(parents, int(x))] = _root(parents, int(y))
    roots = [_root(parents, each) for each in range(n)]
    number = {root: at for at, root in enumerate(dict.fromkeys(roots))}
    return np.array([number[root] for root in roots], np.int64)


def _root(parents: list[int], each: int) -> int:
    while parents[each] != each:
        parents[each] = parents[parents[each]]
        each = parents[each]
    return each
