"""Spectrum: the widest directions of saves, followed by subspace iteration as the lists pass by.

What a list is made of in these directions says what else belongs to it: the low-pass filter of GF-CF (Shen et al.,
"How Powerful is Graph Convolution for Recommendation?", CIKM 2021).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from operators.collaborative.rows import Floats, Rows
from operators.id_index import Ints, grown

Columns = dict[str, NDArray[np.generic]]


class Spectrum:
    """``width`` orthonormal directions over pins, the widest first; beside those that answer, some that are iterated.

    They begin at chance, take ``iterations`` passes and answer until the next ones have: ones that went on for longer
    would be nearer to the widest, cut off sharply where the widths hardly differ, and were worse at what is saved next.
    A quarter more than are asked are iterated (Halko et al., "Finding Structure with Randomness", SIAM Review 2011).
    14 bytes × width a pin.
    """

    def __init__(self, width: int = 512, seed: int = 0, iterations: int = 4) -> None:
        self.width, self.seed, self.iterations, self.passes, self._pins = width, seed, iterations, 0, 0
        self._basis = np.zeros((0, width), np.float32)
        self._under, self._sums = (np.zeros((0, width + width // 4), np.float32) for _ in range(2))

    def __len__(self) -> int:
        """Pins."""
        return self._pins

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._basis.nbytes + self._under.nbytes + self._sums.nbytes

    def grow(self, pins: int) -> None:
        """Make room for pins 0 … ``pins`` - 1; new ones begin at chance, which makes them part of the next pass."""
        if pins > self._pins:
            self._basis, self._under, self._sums = (
                grown(table, pins) for table in (self._basis, self._under, self._sums)
            )
            size = 0.1 * max(pins, self.width) ** -0.5
            self._under[self._pins : pins] = self._chance(pins - self._pins, [self._pins, pins]) * np.float32(size)
            self._pins = pins

    def learn(self, rows: Rows, boards: Ints) -> None:
        """Add a batch of lists to the pass; ``boards`` ``(len(self),)``: on how many boards each pin is."""
        values = np.maximum(rows.lengths, 1)[rows.owners] ** -0.5 * np.maximum(boards[rows.pins], 1) ** -0.5
        matrix = rows.matrix(values.astype(np.float32), self._pins)
        inside, columns = matrix @ self._under[: self._pins], matrix.T.tocsr()
        used = np.unique(rows.pins)
        self._sums[used] += columns[used] @ inside

    def turn(self) -> None:
        """End the pass: what was summed up is iterated further, or answers from now on."""
        sums = self._sums[: self._pins]
        if self._pins >= self._sums.shape[1] and sums.any():
            self.passes += 1
            settled, mixed = np.linalg.qr(sums)
            if self.passes < self.iterations or self.passes % self.iterations == 0:
                # In an array of its own: who reads the old one meanwhile reads all of it.
                basis = np.zeros_like(self._basis)
                basis[: self._pins] = settled @ np.linalg.svd(mixed)[0][:, : self.width]
                self._basis = basis
            again = self.passes % self.iterations == 0
            self._under[: self._pins] = self._chance(self._pins, [self.passes]) if again else settled
        self._sums[:] = 0

    def scores(self, rows: Rows, boards: Ints) -> Floats:
        """``(n, len(self))``: each list's part in the directions, at each pin; 0 before the first pass is over."""
        if not self.passes:
            return np.zeros((len(rows.starts) - 1, self._pins), np.float32)
        root = (np.maximum(boards, 1) ** 0.5).astype(np.float32)
        basis = self._basis[: self._pins]
        inside = rows.matrix((1 / root[rows.pins]).astype(np.float32), self._pins) @ basis
        return (inside @ basis.T) * root

    def snapshot(self) -> Columns:
        """Everything as arrays, for ``numpy.savez``."""
        tables = {"spectrum": self._basis, "spectrum_under": self._under, "spectrum_sums": self._sums}
        own: Columns = {name: table[: self._pins].copy() for name, table in tables.items()}
        return own | {"spectrum_passes": np.array([self.passes])}

    def restore(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Become what :meth:`snapshot` saw. Raises KeyError for a column that is missing."""
        self._basis = np.array(columns["spectrum"], np.float32)
        self._under = np.array(columns["spectrum_under"], np.float32)
        self._sums = np.array(columns["spectrum_sums"], np.float32)
        self._pins, self.width = self._basis.shape
        self.passes = int(columns["spectrum_passes"][0])

    def keep(self, rows: Ints) -> None:
        """Only these pins, which are 0 … from now on."""
        self._basis, self._under, self._sums = self._basis[rows], self._under[rows], self._sums[rows]
        self._pins = len(rows)

    def _chance(self, pins: int, salt: list[int]) -> Floats:
        chance = np.random.default_rng([self.seed, *salt])
        return chance.standard_normal((pins, self._under.shape[1]), np.float32)
