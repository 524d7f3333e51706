"""The dictionary: on how many pins each phrase stands, learned from the pins themselves, in bounded memory.

A count-min sketch (Cormode and Muthukrishnan, J. Algorithms 55, 2005) of document frequencies. It is a sum over pins:
any order, any split over workers, an update or a deletion and a rebuild all give the same numbers, which a list that
evicts its rarest phrase would not. Counts are never too small; they are too large by about phrases / width.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.annotations.phrases import LONGEST, name_phrases
from operators.batch import Ints
from operators.id_index import first_slot

#: Cells of a row, and rows: 12 MiB, taken as they fill.
WIDTH, DEPTH = 1 << 20, 3
#: Makes another phrase of one for each row; the multiplier of Knuth's MMIX.
_ROW = 0x5851F42D4C957F2D

Floats = NDArray[np.float64]


@njit(cache=True)
def _counts(cells, phrases, out):  # type: ignore[no-untyped-def]
    mask = cells.shape[1] - 1
    for i in range(len(phrases)):
        least = cells[0, first_slot(phrases[i], mask)]
        for row in range(1, cells.shape[0]):
            least = min(least, cells[row, first_slot(phrases[i] + row * _ROW, mask)])
        out[i] = least


@njit(cache=True)
def _different(ids):  # type: ignore[no-untyped-def]
    """Each id of a table once, 0 never, by a hashed set: compiled sorting takes longer to compile than all else."""
    slots = 16
    while slots < 2 * ids.size:
        slots *= 2
    table, out = np.zeros(slots, np.int64), np.empty(ids.size, np.int64)
    size = 0
    for start in range(ids.shape[0]):
        for last in range(ids.shape[1]):
            wanted = ids[start, last]
            if wanted == 0:
                break
            slot = first_slot(wanted, slots - 1)
            while table[slot] != 0 and table[slot] != wanted:
                slot = (slot + 1) & (slots - 1)
            if table[slot] == 0:
                table[slot] = out[size] = wanted
                size += 1
    return out[:size]


@njit(cache=True)
def _count_texts(cells, words, ends, by):  # type: ignore[no-untyped-def]
    """Shift the cells of each text's phrases; returns how many texts have words."""
    mask = cells.shape[1] - 1
    texts = begin = 0
    for end in ends:
        if end > begin:
            ids = np.zeros((end - begin, LONGEST), np.int64)
            name_phrases(words[begin:end], ids)
            for phrase in _different(ids):
                for row in range(cells.shape[0]):
                    cells[row, first_slot(phrase + row * _ROW, mask)] += by
            texts += 1
        begin = end
    return texts


@njit(cache=True)
def _bonds(counts, pins, out):  # type: ignore[no-untyped-def]
    """How much more often than by chance the words of each phrase stand together, at its weakest seam."""
    for start in range(len(counts)):
        for last in range(1, counts.shape[1]):
            together = counts[start, last]
            if together <= 0:
                break
            weakest = 1.0
            for seam in range(last):
                apart = counts[start, seam] * counts[start + seam + 1, last - seam - 1]
                information = np.log(together * pins / max(1, apart))
                # A phrase on every pin bears no information and no bond.
                bond = information / np.log(pins / together) if together < pins else 0.0
                weakest = min(weakest, bond)
            out[start, last] = weakest


class Dictionary:
    """Document frequencies of phrases. ``pins`` is how many texts were added and not taken out again."""

    def __init__(self, width: int = WIDTH) -> None:
        if width & (width - 1):
            raise ValueError(f"width {width} is not a power of two")
        self.pins = 0
        self._cells = np.zeros((DEPTH, width), np.int32)

    @property
    def nbytes(self) -> int:
        return self._cells.nbytes

    def add(self, words: Ints, ends: Ints) -> None:
        """Count the phrases of each text once: ``words[ends[i - 1] : ends[i]]`` is text ``i``, 0 for a break."""
        self.pins += int(_count_texts(self._cells, words, ends, 1))

    def remove(self, words: Ints, ends: Ints) -> None:
        """Take back what :meth:`add` counted."""
        self.pins -= int(_count_texts(self._cells, words, ends, -1))

    def merge(self, other: Dictionary) -> None:
        """Add the pins of another dictionary of the same width. Raises ValueError when it has another."""
        if self._cells.shape != other._cells.shape:
            raise ValueError("dictionaries of different widths do not add up")
        self.pins += other.pins
        self._cells += other._cells

    def counts(self, phrases: Ints) -> Ints:
        """On how many pins each phrase stands, at least: any shape, 0 for phrase 0."""
        flat = np.ascontiguousarray(phrases).reshape(-1)
        out = np.empty(len(flat), np.int64)
        _counts(self._cells, flat, out)
        out[flat == 0] = 0
        return out.reshape(phrases.shape)

    def bonds(self, counts: Ints) -> Floats:
        """Normalised pointwise mutual information, -1 … 1, of phrases ``(n, LONGEST)`` by their counts.

        Of each phrase the least over the ways to cut it in two; 1 for a single word. After Bouma, "Normalized
        (pointwise) mutual information in collocation extraction", GSCL 2009.
        """
        out = np.full(counts.shape, -1.0)
        out[:, 0] = 1.0
        _bonds(counts, max(self.pins, 1), out)
        return out

    def rarity(self, counts: Ints) -> Floats:
        """1 for a phrase of a single pin, falling to 0 for one on all: ``ln(N / n) / ln N``."""
        total = max(self.pins, 2)
        return np.clip(np.log(total / np.maximum(counts, 1)) / np.log(total), 0.0, 1.0)
