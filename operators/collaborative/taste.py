"""Taste: a denoising autoencoder of lists of pins, learned a step at a time.

A list is the scaled sum of its pins' vectors through tanh; from a part of it the whole is foretold, by a softmax over
the pins: Mult-DAE (Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.collaborative.rows import Floats, Rows
from operators.id_index import Ints, grown

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8
#: Steps until the full rate.
_WARMING = 50
#: Tables of each kind of weight: itself, its mean, two moments.
_EACH = 4
Columns = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Learning:
    """How it learns.

    Attributes:
        hidden: share of a list that is hidden from it.
        rate: Adam's step size (Kingma & Ba, 2015).
        most: pins in one softmax. With more pins a uniform sample stands for those that nobody in the batch has.
        least: lists of fewer pins teach nothing. What somebody will save yet counts as unwanted, so a list that has
            only begun teaches the wrong thing.
        steady: share of what answers, a running mean of the weights (Polyak & Juditsky, 1992), that a step leaves.
    """

    width: int = 128
    hidden: float = 0.5
    rate: float = 0.003
    most: int = 4_096
    least: int = 2
    steady: float = 0.98


class Taste:
    """Vectors that a list is read by and that pins are foretold by, means and moments of both: 32 bytes × width a pin.

    The same steps on the same lists give the same weights.
    """

    def __init__(self, learning: Learning | None = None, seed: int = 0) -> None:
        self.learning, self.seed = learning or Learning(), seed
        self.steps, self._pins = 0, 0
        self._tables = [np.zeros((0, width), np.float32) for width in self._widths for _ in range(_EACH)]

    @property
    def _widths(self) -> tuple[int, int, int]:
        return self.learning.width, self.learning.width, 1

    def __len__(self) -> int:
        """Pins."""
        return self._pins

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(table.nbytes for table in self._tables)

    def grow(self, pins: int) -> None:
        """Make room for pins 0 … ``pins`` - 1; new ones begin at chance, which depends on their number alone."""
        if pins <= self._pins:
            return
        self._tables = [grown(table, pins) for table in self._tables]
        size = self.learning.width**-0.5 / 2
        for salt in (0, 1):
            weights, mean = self._tables[_EACH * salt : _EACH * salt + 2]
            for block in range(self._pins // 1024, (pins - 1) // 1024 + 1):
                begin, end = max(self._pins, block * 1024), min(pins, (block + 1) * 1024)
                chance = np.random.default_rng([self.seed, salt, block])
                drawn = chance.normal(0, size, (1024, self.learning.width)).astype(np.float32)
                weights[begin:end] = mean[begin:end] = drawn[begin - block * 1024 : end - block * 1024]
        self._pins = pins

    def learn(self, rows: Rows, popularity: Floats) -> None:
        """One step of Adam on a batch of lists; ``popularity`` ``(len(self),)``: log of how often a pin was saved."""
        how, n = self.learning, self._pins
        rows = rows.of_at_least(how.least)
        if not len(rows.pins):
            return
        chance = np.random.default_rng([self.seed, self.steps])
        shown = chance.random(len(rows.pins)) >= how.hidden
        seen = rows.take(shown)
        read, foretold, bias = self._tables[::_EACH]
        pins, weight = self._softmax_over(rows.pins, chance)
        inputs = seen.matrix(_scale(seen), n)
        taste = np.tanh(inputs @ read[:n])
        logits = taste @ foretold[pins].T
        logits += bias[pins, 0] + popularity[pins] + weight
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits *= (rows.lengths / logits.sum(axis=1))[:, None].astype(np.float32)
        logits[rows.owners, np.searchsorted(pins, rows.pins)] -= 1
        logits /= np.float32(len(rows.starts) - 1)
        back = (logits @ foretold[pins]) * (1 - taste * taste)
        self.steps += 1
        used = np.unique(seen.pins)
        self._adam(0, used, inputs.T.tocsr()[used] @ back)
        self._adam(1, pins, logits.T @ taste)
        self._adam(2, pins, logits.sum(axis=0)[:, None])

    def scores(self, rows: Rows, popularity: Floats) -> Floats:
        """``(n, len(self))``: how much each list wants each pin, as logits."""
        n = self._pins
        read, foretold, bias = self._tables[1::_EACH]
        taste = np.tanh(rows.matrix(_scale(rows), n) @ read[:n])
        return taste @ foretold[:n].T + (bias[:n, 0] + popularity)

    def snapshot(self) -> Columns:
        """Everything as arrays, for ``numpy.savez``."""
        tables: Columns = {f"taste_{number}": table[: self._pins].copy() for number, table in enumerate(self._tables)}
        return tables | {"taste_steps": np.array([self.steps])}

    def restore(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Become what :meth:`snapshot` saw. Raises KeyError for a column that is missing."""
        self._tables = [np.array(columns[f"taste_{number}"], np.float32) for number in range(3 * _EACH)]
        self._pins, self.steps = len(self._tables[0]), int(columns["taste_steps"][0])

    def keep(self, rows: Ints) -> None:
        """Only these pins, which are 0 … from now on."""
        self._tables = [table[rows] for table in self._tables]
        self._pins = len(rows)

    def _softmax_over(self, needed: Ints, chance: np.random.Generator) -> tuple[Ints, Floats]:
        """Pins in order, and the log of how many each of them stands for."""
        needed = np.unique(needed)
        if self._pins <= max(self.learning.most, len(needed)):
            return np.arange(self._pins), np.zeros(self._pins, np.float32)
        drawn = np.setdiff1d(chance.integers(0, self._pins, max(1, self.learning.most - len(needed))), needed)
        pins = np.concatenate([needed, drawn])
        stands = np.log((self._pins - len(needed)) / max(1, len(drawn)))
        weight = np.concatenate([np.zeros(len(needed)), np.full(len(drawn), stands)])
        order = np.argsort(pins)
        return pins[order], weight[order].astype(np.float32)

    def _adam(self, which: int, rows: Ints, slope: Floats) -> None:
        rate = self.learning.rate * min(1.0, self.steps / _WARMING)
        rate *= np.sqrt(1 - _SECOND**self.steps) / (1 - _FIRST**self.steps)
        weights, mean, first, second = self._tables[_EACH * which : _EACH * (which + 1)]
        _step(rows, np.ascontiguousarray(slope), weights, first, second, np.float32(rate))
        # A mean over few steps at first, or what it began with would stay in it.
        _follow(weights, mean, self._pins, np.float32(1 - min(self.learning.steady, self.steps / (self.steps + 10))))


@njit(cache=True, nogil=True)
def _step(rows, slope, table, first, second, rate):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        row = rows[i]
        for j in range(table.shape[1]):
            g = slope[i, j]
            first[row, j] += np.float32(1 - _FIRST) * (g - first[row, j])
            second[row, j] += np.float32(1 - _SECOND) * (g * g - second[row, j])
            table[row, j] -= rate * first[row, j] / (np.sqrt(second[row, j]) + np.float32(_EPSILON))


@njit(cache=True, nogil=True)
def _follow(table, mean, rows, share):  # type: ignore[no-untyped-def]
    for row in range(rows):
        for j in range(table.shape[1]):
            mean[row, j] += share * (table[row, j] - mean[row, j])


def _scale(rows: Rows) -> Floats:
    """A list of n pins is their sum over the root of n."""
    return (np.maximum(rows.lengths, 1) ** -0.5).astype(np.float32)[rows.owners]
