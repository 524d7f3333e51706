"""Filters: what must not be shown to a pinner. Each is a pure function that says which pins to drop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.small_sets import contains
from operators.vision.rolled_up import first_of_each

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Question:
    """What filters look at: candidates of one pinner, facts of each pin, and the pinner's own history."""

    pinner: int
    pins: Ints  # (n,), best first
    pictures: Ints  # (n,) the canonical pin of each picture (operators/vision/canonical.py)
    owners: Ints  # (n,), 0 where unknown
    known: Mask  # (n,) the catalogue has the pin
    deleted: Mask  # (n,)
    unsafe: Mask  # (n,) the picture's score is above the threshold (operators/safety.py)
    seen: Ints  # pins shown to the pinner before, any order
    saved: Ints
    hidden: Ints


def deleted(question: Question) -> Mask:
    """Pins that their owners took away."""
    return question.deleted


def unknown(question: Question) -> Mask:
    """Pins that the catalogue has never heard of."""
    return ~question.known


def unsafe(question: Question) -> Mask:
    """Pins whose picture is likely not safe for work; one without a score passes."""
    return question.unsafe


def own(question: Question) -> Mask:
    """Pins that the pinner posted."""
    return question.owners == question.pinner


def hidden(question: Question) -> Mask:
    """Pins that the pinner hid."""
    return contains(question.pins, question.hidden)


def saved(question: Question) -> Mask:
    """Pins that the pinner has on a board already."""
    return contains(question.pins, question.saved)


def duplicate(question: Question) -> Mask:
    """Pins whose picture is that of a better candidate, even of one that is dropped: what was saved is not offered."""
    again = question.pictures != question.pins
    # Without a pin that rolls up to another no two are of one picture, and nothing need be sorted.
    if again.any():
        again[:] = True
        again[first_of_each(question.pictures)] = False
    return again


def seen(question: Question) -> Mask:
    """Pins that were shown to the pinner before."""
    return contains(question.pins, question.seen)


#: In order: a pin that several filters would drop is counted under the first. ``seen`` is last, so that what it
#: drops alone may come back at the end of a slate that would else be short.
FILTERS: Mapping[str, Callable[[Question], Mask]] = {
    filter_.__name__: filter_ for filter_ in (deleted, unknown, unsafe, own, hidden, saved, duplicate, seen)
}


def apply(question: Question) -> tuple[Mask, dict[str, Ints]]:
    """``(keep, dropped)``: a mask ``(n,)`` of the candidates that stay, and filter → the pins that it dropped."""
    keep = np.ones(len(question.pins), np.bool_)
    dropped: dict[str, Ints] = {}
    for name, filter_ in FILTERS.items():
        drop = filter_(question) & keep
        if drop.any():
            dropped[name] = question.pins[drop]
            keep &= ~drop
    return keep, dropped


class Kept(NamedTuple):
    """Masks ``(n,)`` of the candidates that stay, and of those among them that were seen before; who dropped which."""

    keep: Mask
    repeats: Mask
    dropped: dict[str, Ints]


def kept(question: Question, size: int) -> Kept:
    """What may fill a slate of ``size`` pins. One that would be short takes back what was only seen before."""
    keep, dropped = apply(question)
    repeats = np.zeros(len(keep), np.bool_)
    if np.count_nonzero(keep) < size and "seen" in dropped:
        repeats = contains(question.pins, dropped["seen"])
        keep |= repeats
    return Kept(keep, repeats, dropped)
