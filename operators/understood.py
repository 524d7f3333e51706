"""What vision says of a pin: the message on ``pin.understood``."""

from __future__ import annotations

import msgspec


class UnderstoodObject(msgspec.Struct, kw_only=True, gc=False):
    """One thing in the picture. ``box`` is (left, top, right, bottom) as fractions of width and height."""

    object: int
    label: str
    confidence: float
    box: tuple[float, float, float, float]


class UnderstoodPin(msgspec.Struct, kw_only=True, gc=False):
    """A version of a pin, looked at; ``encoder``, ``detector`` and ``safety`` are the versions of the models that did.

    ``detector`` is empty where the pin's text spared the look (``operators/vision/two_step.py``). ``version`` is the
    event time of the pin and ``time`` the moment of understanding, milliseconds since the epoch. ``deleted`` says
    that the pin is gone, and with it its objects and vectors. ``annotations`` are phrases, surest first, each with
    its entry of ``confidences`` (0 … 1). ``unsafe`` is how likely the picture is not safe for work (0 … 1); null, and
    ``safety`` empty, where there is no picture or the model did not answer.
    """

    v: int = 1
    pin: int
    version: int
    deleted: bool = False
    objects: list[UnderstoodObject] = []
    annotations: list[str] = []
    confidences: list[float] = []
    encoder: str
    detector: str
    unsafe: float | None = None
    safety: str = ""
    time: int
