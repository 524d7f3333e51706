"""Which runs of words of a text are phrases of the dictionary, and what each is worth where it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from operators.annotations.dictionary import Dictionary, Floats
from operators.annotations.phrases import LONGEST, Mask, phrases
from operators.batch import Ints


@dataclass(frozen=True, slots=True)
class Weights:
    """Chosen on validation data (``bench/quality/annotations.py``); docs/annotations.md has what was tried."""

    #: What a phrase in each field is worth, in the order of :class:`operators.annotations.words.Field`.
    fields: tuple[float, ...] = (0.9, 0.25, 0.2, 0.25, 0.5)
    #: What pins that look alike, and pins of the same boards, are worth when they agree fully.
    alike: float = 0.9
    mates: float = 0.15
    #: Power of the rarity: 0 takes frequent phrases for as telling as rare ones.
    rarity: float = 0.25
    #: What is left of a phrase that is part of a longer one.
    part: float = 0.5
    #: What a phrase loses that never stands without the word beside it.
    bound: float = 0.5
    #: Pins that a word, and a phrase of several, must stand on to be in the dictionary.
    least_pins: int = 2
    least_pins_together: int = 3
    #: How much more often than by chance its words must stand together, -1 … 1.
    least_bond: float = 0.1
    #: A word on more than this share of all pins, and ``slack`` more, neither begins nor ends a phrase.
    stop_share: float = 0.2
    slack: int = 20


WEIGHTS = Weights()


@njit(cache=True)
def _worth(counts, bonds, rarity, alone, stop, base, least, least_together, bond, part, bound, out):  # type: ignore[no-untyped-def]
    words = len(counts)
    reach = np.zeros(words, np.int64)  # where the phrases over each word end
    for last in range(counts.shape[1] - 1, -1, -1):
        for start in range(words - last):
            count = counts[start, last]
            if count < (least_together if last else least) or bonds[start, last] < bond:
                continue
            end = start + last
            if stop[start] or stop[end] or (last == 0 and not alone[start]):
                continue
            worth = base[start] * rarity[start, last]
            if reach[start] > end:
                worth *= part
            for at in range(start, end + 1):
                reach[at] = max(reach[at], end + 1)
            beside = 0
            if last + 1 < counts.shape[1]:
                beside = counts[start, last + 1]
                if start > 0:
                    beside = max(beside, counts[start - 1, last + 1])
            # This pin itself says nothing of whether they part elsewhere.
            share = min(1.0, max(0, beside - 1) / max(1, count - 1))
            out[start, last] = worth * (1.0 - bound * share)


def worth(words: Ints, alone: Mask, fields: Ints, dictionary: Dictionary, weights: Weights = WEIGHTS) -> Floats:
    """What each phrase says at its place, ``(n, LONGEST)`` by first word and length less one; 0 where none is known.

    ``w_f · rarity**γ``, less for a phrase within a longer one and for one that hardly stands without its neighbour
    (Frantzi et al., "Automatic recognition of multi-word terms: the C-value/NC-value method", 2000, has both ideas).
    ``alone`` says which words may be a phrase by themselves; all ``(n,)``.
    """
    counts = dictionary.counts(phrases(words))
    out = np.zeros((len(words), LONGEST))
    if not len(words):
        return out
    _worth(
        counts, dictionary.bonds(counts), dictionary.rarity(counts) ** weights.rarity, alone,
        counts[:, 0] > weights.stop_share * dictionary.pins + weights.slack, np.array(weights.fields)[fields],
        weights.least_pins, weights.least_pins_together, weights.least_bond, weights.part, weights.bound, out,
    )  # fmt: skip
    return out
