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
    """``width`` orthonormal directions over pins, the widest first, and the pass under way; 12 bytes × width a pin.

    Half as many more are iterated than are asked: those next to the edge are the last to settle (Halko et al., "Finding
    Structure with Randomness", SIAM Review 2011).
    """

    def __init__(self, width: int = 512, seed: int = 0) -> None:
        self.width, self.seed, self.passes, self._pins = width, seed, 0, 0
        self._basis, self._sums = np.zeros((0, self._iterated), np.float32), np.zeros((0, self._iterated), np.float32)

    @property
    def _iterated(self) -> int:
        return self.width + self.width // 2

    def __len__(self) -> int:
        """Pins."""
        return self._pins

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._basis.nbytes + self._sums.nbytes

    def grow(self, pins: int) -> None:
        """Make room for pins 0 … ``pins`` - 1; new ones begin at chance, which makes them part of the next pass."""
        if pins > self._pins:
            self._basis, self._sums = grown(self._basis, pins), grown(self._sums, pins)
            chance = np.random.default_rng([self.seed, self._pins, pins])
            size = 0.1 * max(pins, self.width) ** -0.5
            self._basis[self._pins : pins] = chance.normal(0, size, (pins - self._pins, self._iterated))
            self._pins = pins

    def learn(self, rows: Rows, boards: Ints) -> None:
        """Add a batch of lists to the pass; ``boards`` ``(len(self),)``: on how many boards each pin is."""
        values = np.maximum(rows.lengths, 1)[rows.owners] ** -0.5 * np.maximum(boards[rows.pins], 1) ** -0.5
        matrix = rows.matrix(values.astype(np.float32), self._pins)
        inside, columns = matrix @ self._basis[: self._pins], matrix.T.tocsr()
        used = np.unique(rows.pins)
        self._sums[used] += columns[used] @ inside

    def turn(self) -> None:
        """End the pass: what was summed up becomes the directions."""
        sums = self._sums[: self._pins]
        if self._pins >= self._iterated and sums.any():
            # In an array of its own: who reads the old one meanwhile reads all of it.
            basis = np.zeros_like(self._basis)
            settled, mixed = np.linalg.qr(sums)
            basis[: self._pins] = settled @ np.linalg.svd(mixed)[0]
            self._basis = basis
            self.passes += 1
        self._sums[:] = 0

    def scores(self, rows: Rows, boards: Ints) -> Floats:
        """``(n, len(self))``: each list's part in the directions, at each pin; 0 before the first pass is over."""
        if not self.passes:
            return np.zeros((len(rows.starts) - 1, self._pins), np.float32)
        root = (np.maximum(boards, 1) ** 0.5).astype(np.float32)
        basis = self._basis[: self._pins, : self.width]
        inside = rows.matrix((1 / root[rows.pins]).astype(np.float32), self._pins) @ basis
        return (inside @ basis.T) * root

    def snapshot(self) -> Columns:
        """Everything as arrays, for ``numpy.savez``."""
        basis, sums = self._basis[: self._pins].copy(), self._sums[: self._pins].copy()
        return {"spectrum": basis, "spectrum_sums": sums, "spectrum_passes": np.array([self.passes])}

    def restore(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Become what :meth:`snapshot` saw. Raises KeyError for a column that is missing."""
        self._basis = np.array(columns["spectrum"], np.float32)
        self._sums = np.array(columns["spectrum_sums"], np.float32)
        self._pins, self.width = len(self._basis), -(-2 * self._basis.shape[1] // 3)
        self.passes = int(columns["spectrum_passes"][0])

    def keep(self, rows: Ints) -> None:
        """Only these pins, which are 0 … from now on."""
        self._basis, self._sums, self._pins = self._basis[rows], self._sums[rows], len(rows)
