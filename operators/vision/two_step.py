"""Two-step detection: what a pin's text makes likely first, the detector only where it could find some of that.

After Pinterest's Shop the Look and Visual Discovery at Pinterest (WWW 2017): most pins show nothing that a detector
knows, and a category that is predicted first spares the detector's time and its false alarms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from operators.annotations.words import BREAK, Field, Text
from operators.vision.detectable import NAMES, PLACES

#: Words after which a phrase has ended although no sign says so: "chair with armrests" is a chair.
_JOINTS = frozenset(
    {"with", "and", "or", "for", "in", "on", "of", "from", "to", "by", "at", "without", "under", "near"}
)


@dataclass(frozen=True, slots=True)
class Worth:
    """How much a word says: by judgement, before anything was measured (``tests/quality/test_two_step.py``)."""

    #: By field, in the order of :class:`operators.annotations.words.Field`.
    fields: tuple[float, ...] = (1.0, 0.5, 0.4, 0.4, 1.0)
    #: A name that another word follows: "chair cushion" is no chair.
    beside: float = 0.4
    #: A label that only the place makes likely.
    place: float = 0.4


WORTH = Worth()


class Likely(NamedTuple):
    """A label of the detector and how likely the text makes it, 0 … 1."""

    label: str
    likelihood: float


class _Sign(NamedTuple):
    label: str
    of_place: bool


def _signs() -> dict[tuple[str, ...], list[_Sign]]:
    found: dict[tuple[str, ...], list[_Sign]] = {}
    for of_place, table in ((False, NAMES), (True, _by_label(PLACES))):
        for label, phrases in table.items():
            for phrase in phrases:
                found.setdefault(tuple(phrase.split()), []).append(_Sign(label, of_place))
    return found


def _by_label(places: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for place, labels in places.items():
        for label in labels:
            found.setdefault(label, []).append(place)
    return found


_SIGNS = _signs()
_LONGEST = max(map(len, _SIGNS))


def likely(text: Text, worth: Worth = WORTH) -> list[Likely]:
    """Labels that a pin's text speaks of, likeliest first (equal ones by name); empty where it speaks of none.

    Each field is a witness: ``1 - Π (1 - worth)`` over fields, each by its best place.
    """
    best: dict[tuple[str, int], float] = {}
    for sign, field, ends in _found(text):
        value = worth.fields[field] * (worth.place if sign.of_place else 1.0) * (1.0 if ends else worth.beside)
        key = sign.label, field
        best[key] = max(best.get(key, 0.0), value)
    doubts: dict[str, float] = {}
    for (label, _), value in best.items():
        doubts[label] = doubts.get(label, 1.0) * (1.0 - value)
    return sorted((Likely(label, 1.0 - doubt) for label, doubt in doubts.items()), key=lambda one: (-one[1], one[0]))


def _found(text: Text) -> Iterator[tuple[_Sign, Field, bool]]:
    """Every sign, the field that it stands in, and whether it ends its phrase; the longest at each place."""
    words, start = text.words, 0
    while start < len(words):
        for length in range(min(_LONGEST, len(words) - start), 0, -1):
            if signs := _SIGNS.get(tuple(words[start : start + length])):
                after = words[start + length] if start + length < len(words) else BREAK
                for sign in signs:
                    yield sign, Field(text.fields[start]), after == BREAK or after in _JOINTS
                start += length - 1
                break
        start += 1


def worth_a_look(text: Text, threshold: float) -> bool:
    """Whether the detector should look at a pin with this text: a label is as likely as ``threshold``, 0 … 1.

    A threshold of 0 asks for every picture. Words in another script than the names' say nothing against a look, and
    no words neither: such a pin gets one.
    """
    if threshold <= 0.0 or not any(word.isascii() for word in text.words if word != BREAK):
        return True
    found = likely(text)
    return bool(found) and found[0].likelihood >= threshold
