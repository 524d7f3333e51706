"""Batch recommenders, refitted every day on everything before it: item-kNN and EASE over one sum of pairs."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import lapack

Floats = NDArray[np.float32]


@njit(cache=True)
def _count(pairs, histories, sizes, users, items):  # type: ignore[no-untyped-def]
    for at in range(len(users)):
        user, item = users[at], items[at]
        for before in histories[user, : sizes[user]]:
            pairs[before, item] += 1
            pairs[item, before] += 1
        pairs[item, item] += 1
        histories[user, sizes[user]] = item
        sizes[user] += 1


class Pairs:
    """How many users have both of two items, ``(n, n)``; the diagonal has how many have the one."""

    def __init__(self, users: int, items: int, longest: int) -> None:
        self.counts = np.zeros((items, items), np.float32)
        self._histories = np.zeros((users, longest), np.int32)
        self.sizes = np.zeros(users, np.int64)

    def add(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> None:
        _count(self.counts, self._histories, self.sizes, users, items)

    def history(self, user: int) -> NDArray[np.int32]:
        """Items of a user, as of the last :meth:`add`."""
        return self._histories[user, : self.sizes[user]]


def knn(pairs: Floats, neighbours: int, shrink: float) -> Floats:
    """Cosine of two items, of each item the best ``neighbours``; ``(n, n)``, rows are what was had."""
    norms = np.sqrt(pairs.diagonal())
    near = pairs / (np.outer(norms, norms) + shrink + 1e-9)
    np.fill_diagonal(near, 0)
    if neighbours < len(near):
        least = -np.partition(-near, neighbours - 1, axis=0)[neighbours - 1]
        near[near < least] = 0
    return near


def ease(pairs: Floats, ridge: float) -> Floats:
    """EASE (Steck, WWW 2019): the best linear item-item weights with no self-weight; ``(n, n)``.

    Items that nobody had are left out of the inversion: theirs are zeros.
    """
    there = np.flatnonzero(pairs.diagonal() > 0)
    gram = np.asfortranarray(pairs[np.ix_(there, there)])
    gram[np.diag_indices_from(gram)] += ridge
    factor, wrong = lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, wrong_too = lapack.spotri(factor, lower=1, overwrite_c=1)
    if wrong or wrong_too:
        raise ValueError("EASE's matrix cannot be inverted in single precision: raise the ridge")
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = inverse / -inverse.diagonal()
    np.fill_diagonal(weights, 0)
    out = np.zeros_like(pairs)
    out[np.ix_(there, there)] = weights
    return out
