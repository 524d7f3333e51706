"""Real saves of ``saves/``, and the two protocols by which recommenders of them are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from bench.quality.ranking_metrics import hit_rate, ndcg_at, ndcg_of_one, rank_among, recall_at

#: Full ranking looks so deep; of the 1 + 99 so many count.
DEEP, NEGATIVES = 20, 99
METRICS = (RECALL, NDCG, HIT, NDCG_ONE) = ("recall@20", "ndcg@20", "1+99 hr@10", "1+99 ndcg@10")
CHUNK = 1_000

#: Pinners ``(n,)`` → scores ``(n, items)`` of all items.
Scorer = Callable[[NDArray[np.int64]], NDArray[np.float32]]


class Saves(NamedTuple):
    """What was known and what came later, both ``(pinners, items)`` of 0 and 1."""

    known: csr_matrix
    later: csr_matrix

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pinner and item of what was known."""
        return np.repeat(np.arange(self.known.shape[0]), np.diff(self.known.indptr)), self.known.indices.astype(
            np.int64
        )


class Protocols:
    """Both protocols over the same pinners and the same negatives.

    Full ranking: over all items that a pinner does not have, mean over pinners. 1 + 99: each pair of what came later
    among 99 items, drawn by ``seed``, that the pinner has neither before nor later; mean over pairs.
    """

    def __init__(self, saves: Saves, pinners: NDArray[np.int64], seed: int = 0) -> None:
        self.saves, self.seed = saves, seed
        self.pinners = pinners[np.diff(saves.later.indptr)[pinners] > 0]

    def judge(self, scorer: Scorer) -> dict[str, float]:
        """Metric → value."""
        recalls: list[NDArray[np.float64]] = []
        gains: list[NDArray[np.float64]] = []
        places: list[NDArray[np.int64]] = []
        for pinners in self._chunks():
            scores = scorer(pinners)
            known, later = (part[pinners].toarray() > 0 for part in self.saves)
            places.append(self._one_of_hundred(scores, known, later, int(pinners[0])))
            scores = np.where(known, -np.inf, scores)
            best = np.argpartition(-scores, DEEP, axis=1)[:, :DEEP]
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
            hits = np.take_along_axis(later, np.take_along_axis(best, order, 1), 1)
            wanted = later.sum(axis=1)
            recalls.append(recall_at(hits, wanted))
            gains.append(ndcg_at(hits, wanted))
        among = np.concatenate(places)
        full = float(np.concatenate(recalls).mean()), float(np.concatenate(gains).mean())
        return dict(zip(METRICS, (*full, hit_rate(among), ndcg_of_one(among)), strict=True))

    def _chunks(self) -> Iterator[NDArray[np.int64]]:
        for begin in range(0, len(self.pinners), CHUNK):
            yield self.pinners[begin : begin + CHUNK]

    def _one_of_hundred(
        self, scores: NDArray[np.float32], known: NDArray[np.bool_], later: NDArray[np.bool_], number: int
    ) -> NDArray[np.int64]:
        chance = np.random.default_rng([self.seed, number])
        row, item = np.nonzero(later)
        drawn = chance.integers(0, scores.shape[1], (len(row), NEGATIVES))
        has = known | later
        while (wrong := has[row[:, None], drawn]).any():
            drawn[wrong] = chance.integers(0, scores.shape[1], int(wrong.sum()))
        return rank_among(scores[row, item].astype(np.float64), scores[row[:, None], drawn].astype(np.float64))


def load(folder: Path) -> Saves:
    """``train.txt`` and ``test.txt``: a pinner and their items a line. Raises ClickException where they are missing."""
    both: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for name in ("train.txt", "test.txt"):
        file = folder / "saves" / name
        if not file.is_file():
            raise click.ClickException(f"{file} is missing: name the folder of the real data with --data")
        lines = [np.array(line.split(), np.int64) for line in file.read_text().splitlines() if line.strip()]
        lengths = [len(line) - 1 for line in lines]
        pinners = np.repeat([line[0] for line in lines], lengths)
        both.append((pinners, np.concatenate([line[1:] for line in lines])))
    shape = tuple(1 + max(int(columns[at].max()) for columns in both) for at in (0, 1))
    return Saves(*(csr_matrix((np.ones(len(p), np.float32), (p, i)), shape=shape) for p, i in both))


def cut(saves: Saves, pinners: int, share: float = 0.2, seed: int = 7) -> tuple[Saves, NDArray[np.int64]]:
    """A validation part of what was known alone: of some pinners ``share`` of their saves; and who they are."""
    chance = np.random.default_rng(seed)
    chosen = np.sort(chance.choice(saves.known.shape[0], pinners, replace=False))
    owner, item = saves.pairs()
    kept = np.ones(len(owner), np.bool_)
    for pinner in chosen:
        begin, end = saves.known.indptr[pinner : pinner + 2]
        if end - begin > 1:
            kept[begin + chance.choice(end - begin, max(1, round((end - begin) * share)), replace=False)] = False
    parts = (
        csr_matrix((np.ones(int(some.sum()), np.float32), (owner[some], item[some])), shape=saves.known.shape)
        for some in (kept, ~kept)
    )
    return Saves(*parts), chosen


def only(saves: Saves, pinners: int, items: int, seed: int = 0) -> Saves:
    """A part of the data: ``items`` by chance among the more popular half, and ``pinners`` who have most of them."""
    chance = np.random.default_rng(seed)
    popular = np.argsort(-np.bincount(saves.known.indices, minlength=saves.known.shape[1]), kind="stable")
    columns = np.sort(chance.choice(popular[: len(popular) // 2], items, replace=False))
    known, later = (part.tocsc()[:, columns].tocsr() for part in saves)
    rows = np.sort(np.argsort(-np.diff(known.indptr), kind="stable")[:pinners])
    return Saves(known[rows], later[rows])
