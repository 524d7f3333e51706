"""What vision says of a pin: the message on ``pin.understood``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

import msgspec

#: Words of a title that are kept: three letters or more, in any script.
#: At most so many of them: a title may be as long as a message.
MOST_WORDS = 64
_WORD = re.compile(r"[^\W\d_]{3,}")


class UnderstoodObject(msgspec.Struct, kw_only=True, gc=False):
    """One thing in the picture. ``box`` is (left, top, right, bottom) as fractions of width and height."""

    object: int
    label: str
    confidence: float
    box: tuple[float, float, float, float]


class UnderstoodPin(msgspec.Struct, kw_only=True, gc=False):
    """A version of a pin, looked at. ``encoder`` and ``detector`` are the versions of the models that looked.

    ``version`` is the event time of the pin and ``time`` the moment of understanding, milliseconds since
    the epoch. ``deleted`` says that the pin is gone, and with it its objects and vectors.
    """

    v: int = 1
    pin: int
    version: int
    deleted: bool = False
    objects: list[UnderstoodObject] = []
    annotations: list[str] = []
    encoder: str
    detector: str
    time: int


def annotate(labels: Iterable[str], title: str) -> list[str]:
    """Words for a pin, each once: what was seen in it, then the first words of its title."""
    words = (word.group() for word in islice(_WORD.finditer(title.lower()), MOST_WORDS))
    return list(dict.fromkeys([*labels, *words]))
