"""Public data sets as events: save lists, MovieLens ratings, user-behaviour logs.

Each converter streams: one row in, at most one row's events out. Rows that cannot be read are counted,
the first few are kept with their line number, and the rest goes on. Ids stay as they are in the file
(``operators.identity`` maps them); a pinner's saves go to one board, ``board-of-<pinner>``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from operators.events import EARLIEST
from operators.identity import MAX_ID
from streams.traffic.lines import Line

#: Save lists have no times: the n-th save happens n seconds after 2020-01-01 00:00 UTC, in file order.
FIRST_TIME = 1_577_836_800_000
STEP = 1_000
#: MovieLens: a rating of at least this is a save, a lower one a closeup.
SAVED_RATING = 4.0
#: User behaviour: what a shop's action says in PinStream's terms. A cart is a shortlist, so a save; a
#: purchase leaves for the shop, so an outbound click.
BEHAVIOUR: dict[str, tuple[str, str]] = {
    "pv": ("clicks", "closeup"),
    "fav": ("saves", ""),
    "cart": ("saves", ""),
    "buy": ("clicks", "outbound"),
}
#: 2100-01-01, in seconds: a later time is in another unit.
LAST_SECONDS = 4_102_444_800
EXAMPLES_KEPT = 5


@dataclass
class Report:
    """What became of the rows."""

    rows: int = 0
    events: int = 0
    bad: int = 0
    #: Events before 2005, which the engine takes for mistaken units unless `replay --now` moves them.
    early: int = 0
    #: ``line 7: no item`` for the first few.
    examples: list[str] = field(default_factory=list)

    def refuse(self, number: int, reason: str) -> None:
        self.bad += 1
        if len(self.examples) < EXAMPLES_KEPT:
            self.examples.append(f"line {number}: {reason}")


def convert(kind: str, rows: Iterable[bytes], report: Report) -> Iterator[Line]:
    """Yield the events of ``rows`` in file order and fill in ``report``.

    Raises:
        KeyError: ``kind`` is not one of :data:`CONVERTERS`.
    """
    one = CONVERTERS[kind]
    for number, raw in enumerate(rows, 1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if not text:
                continue
            report.rows += 1
            for line in one(text, number, report.events):
                report.events += 1
                report.early += line.event["time"] < EARLIEST
                yield line
        except UnicodeDecodeError:
            report.rows += 1
            report.refuse(number, "not UTF-8")
        except ValueError as error:
            report.refuse(number, str(error))


def _saves(text: str, _number: int, before: int) -> list[Line]:
    """``user item item …``: LightGCN's text format."""
    user, *items = text.split()
    if not items:
        raise ValueError("no item after the user")
    return [_save(user, item, FIRST_TIME + (before + place) * STEP) for place, item in enumerate(items)]


def _movielens(text: str, number: int, _before: int) -> list[Line]:
    """``user::item::rating::seconds`` (.dat), or the same by tab (.inter, u.data) or comma (.csv)."""
    separator = next((each for each in ("::", "\t", ",") if each in text), ",")
    fields = text.split(separator)
    if number == 1 and "rating" in text.lower():
        return []
    if len(fields) != 4:
        raise ValueError(f"{len(fields)} fields, not user, item, rating, time")
    user, item, rating, seconds = fields
    time = _milliseconds(seconds)
    if _number(rating, "rating") >= SAVED_RATING:
        return [_save(user, item, time)]
    return [_click("closeup", user, item, time)]


def _behaviour(text: str, number: int, _before: int) -> list[Line]:
    """``user,item,category,kind,seconds``: Taobao's user-behaviour log; the category is not kept."""
    fields = text.split(",")
    if len(fields) != 5:
        raise ValueError(f"{len(fields)} fields, not user, item, category, kind, time")
    user, item, _category, kind, seconds = fields
    if kind not in BEHAVIOUR:
        if number == 1 and not seconds.strip().isdigit():
            return []  # a header
        raise ValueError(f"kind {kind!r} is none of {', '.join(BEHAVIOUR)}")
    topic, click = BEHAVIOUR[kind]
    time = _milliseconds(seconds)
    return [_save(user, item, time) if topic == "saves" else _click(click, user, item, time)]


CONVERTERS: dict[str, Callable[[str, int, int], list[Line]]] = {
    "saves": _saves,
    "movielens": _movielens,
    "behavior": _behaviour,
}


def _save(user: str, item: str, time: int) -> Line:
    pinner = _id(user, "user")
    event: dict[str, Any] = {
        "time": time,
        "pinner": pinner,
        "pin": _id(item, "item"),
        "board": f"board-of-{user.strip()}",
    }
    return Line("saves", pinner, event)


def _click(kind: str, user: str, item: str, time: int) -> Line:
    pinner = _id(user, "user")
    return Line("clicks", pinner, {"type": kind, "time": time, "pinner": pinner, "pin": _id(item, "item")})


def _id(text: str, what: str) -> int | str:
    """A decimal id as the integer it is, anything else (``0`` too) as the string it is."""
    text = text.strip()
    if not text:
        raise ValueError(f"empty {what}")
    if text.isascii() and text.isdigit() and text[0] != "0" and int(text) <= MAX_ID:
        return int(text)
    return text


def _milliseconds(text: str) -> int:
    seconds = _number(text, "time")
    if not 0 < seconds < LAST_SECONDS:
        raise ValueError(f"time {text.strip()!r} is not in seconds since the epoch")
    return round(seconds * 1000)


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{what} {text.strip()!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{what} {text.strip()!r} is not a number")
    return value
