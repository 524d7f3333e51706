"""Transforms of time. There is no clock here: now is a column, so that what was is computed as it was."""

from __future__ import annotations

from typing import Literal

import numpy as np

from operators.linchpin.columns import NO_TIME, Float, Time
from operators.linchpin.transform import positive, transform

DAY = 86_400_000


def _known(*times: Time) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    known = times[0] != NO_TIME
    for each in times[1:]:
        known &= each != NO_TIME
    return known


@transform(missing="kept", shape=positive("unit"))
def age(since: Time, now: Time, *, unit: int = 1) -> Float:
    """Time from since to now in units (1 is a millisecond), 0 for what is yet to come."""
    known = _known(since, now)
    return np.where(known, np.maximum(np.where(known, now - since, 0), 0) / unit, np.nan)


@transform(missing="kept", shape=positive("half_life"))
def decay(value: Float, since: Time, now: Time, *, half_life: int) -> Float:
    """value · 2^(-age / half_life)."""
    known = _known(since, now)
    past = np.maximum(np.where(known, now - since, 0), 0)
    return np.where(known, value * np.exp2(past / -half_life), np.nan)


@transform(missing="kept", shape=positive("period"))
def cycle(time: Time, *, period: int = DAY, wave: Literal["sin", "cos"] = "sin") -> Float:
    """Where in a period, such as a day in UTC, a time is: sine or cosine of its turn."""
    turn = (time % period) * (2 * np.pi / period)
    found, known = np.sin(turn) if wave == "sin" else np.cos(turn), _known(time)
    return found if known.all() else np.where(known, found, np.nan)
