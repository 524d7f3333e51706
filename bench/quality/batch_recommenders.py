"""What the streamed model of saves is compared with: recommenders that are fitted to all saves at once.

Each takes ``(pinners, items)`` of 0 and 1 and gives a scorer of pinners.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_matrix, diags

from bench.quality.real_saves import Scorer

#: Settings of Ferrari Dacrema et al. (TOIS 2021), Table 54, but for λ, which is of the shared data's own table.
NEAREST, ALPHA, RP3_ALPHA, RP3_BETA, LAMBDA = 1_000, 1.0, 0.8616, 0.4255, 500.0


def popular(known: csr_matrix) -> Scorer:
    """The same for everybody: how often an item was saved."""
    counts = np.bincount(known.indices, minlength=known.shape[1]).astype(np.float32)
    return lambda pinners: np.tile(counts, (len(pinners), 1))


def item_knn(known: csr_matrix) -> Scorer:
    """Cosine of items, the nearest 1,000 of each (Sarwar et al., WWW 2001)."""
    together = (known.T @ known).toarray()
    roots = np.sqrt(np.maximum(together.diagonal(), 1))
    together /= roots[:, None] * roots[None]
    return _by_items(known, _nearest(together))


def walks_of_three(known: csr_matrix, alpha: float = ALPHA, beta: float = 0.0) -> Scorer:
    """P3α (Cooper et al., WWW 2014); with ``beta`` RP3β (Paudel et al., TiiS 2017)."""
    pinners, items = (
        np.maximum(np.diff(known.indptr), 1),
        np.maximum(np.bincount(known.indices, minlength=known.shape[1]), 1),
    )
    to_items, to_pinners = diags(1.0 / pinners) @ known, (diags(1.0 / items) @ known.T).tocsr()
    to_items.data **= alpha
    to_pinners.data **= alpha
    reached = (to_pinners @ to_items).toarray().astype(np.float32) * items[None].astype(np.float32) ** -beta
    # Of each item the nearest that it leads to.
    return _by_items(known, _nearest(reached.T).T)


def ease(known: csr_matrix, penalty: float = LAMBDA) -> Scorer:
    """EASEᴿ (Steck, WWW 2019): a ridge regression of each item on all others. Needs 4 × items² bytes, thrice."""
    gram = np.asfortranarray((known.T @ known).toarray(), np.float32)
    gram[np.diag_indices_from(gram)] += penalty
    inverse = lapack.spotri(lapack.spotrf(gram, lower=1, overwrite_a=1)[0], lower=1, overwrite_c=1)[0]
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights = -inverse / inverse.diagonal()[None]
    weights[np.diag_indices_from(weights)] = 0
    return _by_items(known, weights)


def als(
    known: csr_matrix, seed: int, width: int = 64, rounds: int = 8, unobserved: float = 0.01, penalty: float = 0.02
) -> Scorer:
    """iALS (Hu et al., ICDM 2008) with the regularisation of Rendle et al. (RecSys 2022)."""
    chance = np.random.default_rng(seed)
    pinners, items = (chance.normal(0, 0.1 * width**-0.5, (size, width)).astype(np.float32) for size in known.shape)
    saved_by = known.T.tocsr()
    for _ in range(rounds):
        for rows, others, own in ((known, items, pinners), (saved_by, pinners, items)):
            _solve(rows, others, own, unobserved, penalty)
    return lambda some: pinners[some] @ items.T


def _solve(
    rows: csr_matrix, others: NDArray[np.float32], own: NDArray[np.float32], unobserved: float, penalty: float
) -> None:
    every, width = unobserved * (others.T @ others), others.shape[1]
    for begin in range(0, len(own), 256):
        some = range(begin, min(begin + 256, len(own)))
        left, right = np.empty((len(some), width, width), np.float32), np.empty((len(some), width), np.float32)
        for at, row in enumerate(some):
            has = others[rows.indices[rows.indptr[row] : rows.indptr[row + 1]]]
            left[at] = every + has.T @ has
            left[at].flat[:: width + 1] += penalty * (len(has) + unobserved * len(others))
            right[at] = has.sum(axis=0)
        own[begin : begin + 256] = np.linalg.solve(left, right[..., None])[..., 0]


def _nearest(similar: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each column the :data:`NEAREST` largest, without itself."""
    similar[np.diag_indices_from(similar)] = 0
    if len(similar) > NEAREST:
        least = np.partition(similar, len(similar) - NEAREST, axis=0)[len(similar) - NEAREST]
        similar = np.where(similar >= least, similar, 0)
    return np.ascontiguousarray(similar, np.float32)


def _by_items(known: csr_matrix, weights: NDArray[np.float32]) -> Scorer:
    return lambda pinners: np.asarray(known[pinners] @ weights)
