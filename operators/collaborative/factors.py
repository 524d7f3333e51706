"""Factors: a matrix factorisation of saves whose pins are renewed some at a time, from the boards that they are on now.

iALS (Hu et al., "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008; Rendle et al., "Revisiting the
Performance of iALS", RecSys 2022), but no board has a vector that is kept: a list's is the closed form of its pins'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.collaborative.rows import Floats, Rows
from operators.id_index import Ints, grown

Columns = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Fitting:
    """How it learns.

    Attributes:
        width: numbers of a pin.
        unobserved: weight of what a board does not have, beside 1 for what it has.
        penalty: of the squares of both sides, times the root of the mean number of boards of a pin: about as wide as
            directions of chance are, so that these vanish.
        steady: share of the boards' second moments, a running mean, that a step leaves.
        rounds: so often every pin is renewed from chance, then all begin anew: ones that went on for longer stayed near
            what the first saves told, which were few.
        ripe: after so many rounds of these they answer.
    """

    width: int = 128
    unobserved: float = 0.1
    penalty: float = 1.1
    steady: float = 0.9
    rounds: int = 8
    ripe: int = 6


class Around(NamedTuple):
    """Pins to renew ``(p,)``; list i of ``boards`` are those that pin i is on, as numbers of the lists of ``of``."""

    pins: Ints
    boards: Rows
    of: Rows


class Factors:
    """A vector of each pin, and ripe ones, where a list's vector is a short sum, which answer; 8 bytes × width a pin.

    The same steps on the same lists give the same vectors.
    """

    def __init__(self, fitting: Fitting | None = None, seed: int = 0) -> None:
        self.fitting, self.seed = fitting or Fitting(), seed
        self.steps, self.rounds, self._pins = 0, 0, 0
        width = self.fitting.width
        self._vectors, self._whitened = (np.zeros((0, width), np.float32) for _ in range(2))
        self._second = np.zeros((width, width), np.float32)

    def __len__(self) -> int:
        """Pins."""
        return self._pins

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._vectors.nbytes + self._whitened.nbytes + self._second.nbytes

    def grow(self, pins: int) -> None:
        """Make room for pins 0 … ``pins`` - 1; new ones begin at chance and are in no answer before ripe ones are."""
        if pins > self._pins:
            self._vectors, self._whitened = grown(self._vectors, pins), grown(self._whitened, pins)
            self._vectors[self._pins : pins] = self._chance(pins - self._pins, [self._pins, pins])
            self._pins = pins

    def learn(self, rows: Rows, around: Around, boards: Ints, count: int) -> None:
        """Renew some pins. ``rows``: lists drawn evenly, which stand for all ``count``; ``boards`` ``(len(self),)``."""
        how, n = self.fitting, self._pins
        penalty = self._penalty(boards)
        back, whitened = self._whiten(penalty)
        lists = _folded(rows.starts, rows.pins, whitened[:n]) @ back
        share = 1 - min(how.steady, self.steps / (self.steps + 1))
        self._second += np.float32(share) * (lists.T @ lists / np.float32(len(lists)) - self._second)
        beside = _folded(around.of.starts, around.of.pins, whitened[:n]) @ back
        every = np.float32(how.unobserved * count) * self._second
        every.flat[:: how.width + 1] += penalty
        left = np.empty((len(around.pins), how.width, how.width), np.float32)
        right = np.empty((len(around.pins), how.width, 1), np.float32)
        lengths = around.boards.lengths
        for i, pin in enumerate(around.pins):
            of = beside[around.boards.pins[around.boards.starts[i] : around.boards.starts[i + 1]]]
            # The latest boards stand for all that the pin is on.
            stands = np.float32(boards[pin] / max(1, lengths[i]))
            left[i], right[i, :, 0] = every + stands * (of.T @ of), stands * of.sum(axis=0)
        self._vectors[around.pins] = np.linalg.solve(left, right)[..., 0]
        self.steps += 1

    def turn(self, boards: Ints) -> None:
        """End a round: every pin was renewed once more. Those that are ripe, or the first ones, answer from now on."""
        self.rounds += 1
        of_these = (self.rounds - 1) % self.fitting.rounds + 1
        if of_these >= self.fitting.ripe or self.rounds < self.fitting.ripe:
            # In an array of its own: who reads the old one meanwhile reads all of it.
            self._whitened = self._whiten(self._penalty(boards))[1]
        if of_these == self.fitting.rounds:
            self._vectors[: self._pins] = self._chance(self._pins, [self.rounds])
            self.steps = 0

    def scores(self, rows: Rows, boards: Ints) -> Floats:
        """``(n, len(self))``: how much each list, folded in, wants each pin; ``boards`` does not matter."""
        whitened = self._whitened[: self._pins]
        return _folded(rows.starts, rows.pins, whitened) @ whitened.T

    def snapshot(self) -> Columns:
        """Everything as arrays, for ``numpy.savez``."""
        tables = {"factors": self._vectors, "factors_whitened": self._whitened}
        own: Columns = {name: table[: self._pins].copy() for name, table in tables.items()}
        return own | {"factors_second": self._second.copy(), "factors_steps": np.array([self.steps, self.rounds])}

    def restore(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Become what :meth:`snapshot` saw. Raises KeyError for a column that is missing."""
        self._vectors = np.array(columns["factors"], np.float32)
        self._whitened = np.array(columns["factors_whitened"], np.float32)
        self._second = np.array(columns["factors_second"], np.float32)
        self.steps, self.rounds = columns["factors_steps"].astype(np.int64).tolist()
        self._pins = len(self._vectors)

    def keep(self, rows: Ints) -> None:
        """Only these pins, which are 0 … from now on."""
        self._vectors, self._whitened = self._vectors[rows], self._whitened[rows]
        self._pins = len(rows)

    def _penalty(self, boards: Ints) -> np.float32:
        return np.float32(self.fitting.penalty * max(1.0, boards.sum() / max(1, np.count_nonzero(boards))) ** 0.5)

    def _chance(self, pins: int, salt: list[int]) -> Floats:
        chance = np.random.default_rng([self.seed, *salt])
        return chance.standard_normal((pins, self.fitting.width), np.float32) * np.float32(self.fitting.width**-0.5 / 2)

    def _whiten(self, penalty: np.float32) -> tuple[Floats, Floats]:
        """What turns a folded list into its vector, ``(width, width)``, and all pins where that fold is a short sum."""
        vectors = self._vectors[: self._pins]
        every = np.float32(self.fitting.unobserved) * (vectors.T @ vectors)
        every.flat[:: self.fitting.width + 1] += penalty
        back = np.linalg.inv(np.linalg.cholesky(every))
        whitened = np.zeros_like(self._vectors)
        whitened[: self._pins] = vectors @ back.T
        return back, whitened


@njit(cache=True, nogil=True)
def _folded(starts, pins, table):  # type: ignore[no-untyped-def]
    """``(n, width)``: Xᵀ (1 + X Xᵀ)⁻¹ 1 of each list's rows X of ``table``, by Cholesky's factors."""
    out = np.zeros((len(starts) - 1, table.shape[1]), np.float32)
    for i in range(len(starts) - 1):
        n = starts[i + 1] - starts[i]
        of = np.empty((n, table.shape[1]), np.float32)
        for a in range(n):
            of[a] = table[pins[starts[i] + a]]
        lower = np.dot(of, of.T)
        share = np.ones(n, np.float32)
        for a in range(n):
            for b in range(a):
                inner = lower[a, b]
                for c in range(b):
                    inner -= lower[a, c] * lower[b, c]
                lower[a, b] = inner / lower[b, b]
            inner = lower[a, a] + np.float32(1)
            for c in range(a):
                inner -= lower[a, c] * lower[a, c]
            lower[a, a] = np.sqrt(inner)
            for c in range(a):
                share[a] -= lower[a, c] * share[c]
            share[a] /= lower[a, a]
        for a in range(n - 1, -1, -1):
            for c in range(a + 1, n):
                share[a] -= lower[c, a] * share[c]
            share[a] /= lower[a, a]
            for j in range(table.shape[1]):
                out[i, j] += share[a] * of[a, j]
    return out
