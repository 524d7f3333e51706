"""Fingerprints of pins between the table ``fingerprints`` and memory: which pins show the same picture."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.accepted import AcceptedPin
from operators.catalogue import Catalogue
from operators.identity import combined_id
from operators.vision.canonical import Canonical
from operators.vision.fingerprint import VIEWS, WORDS, Fingerprints
from streams.stores.protocols import EventStore

#: Columns that memory needs.
COLUMNS = "pin, version, created, fingerprint, near"
Rows = Mapping[str, Sequence[Any] | NDArray[Any]]


async def keep(
    pictures: Canonical,
    catalogue: Catalogue,
    events: EventStore,
    seen: Sequence[tuple[AcceptedPin, Fingerprints | None]],
) -> None:
    """Take pins and their pictures' fingerprints (None: there is none), and write the rows that say so.

    May be repeated. Raises StoreUnavailable.
    """
    rows: dict[str, list[Any]] = {
        "pin": [pin.pin for pin, _ in seen],
        "version": [pin.version for pin, _ in seen],
        "created": [pin.created for pin, _ in seen],
        "fingerprint": [
            [] if views is None or not views.any() else views.view(np.int64).ravel().tolist() for _, views in seen
        ],
    }
    rows["near"] = await _folded(pictures, catalogue, rows)
    await events.insert("fingerprints", rows)


async def take(pictures: Canonical, catalogue: Catalogue, events: EventStore, rows: Rows) -> None:
    """Fold in rows of another worker whose version is the newest that the catalogue knows; others have no effect.

    Two workers may have seen copies of one picture at once, and neither row names the other: that is written, too,
    so that a restart knows what both know now. Raises StoreUnavailable.
    """
    named = [set(np.asarray(near).tolist()) for near in rows["near"]]
    near = await _folded(pictures, catalogue, rows)
    lacking = [row for row, known in enumerate(near) if not named[row].issuperset(known)]
    if lacking:
        more = {name: [np.asarray(rows[name][row]).tolist() for row in lacking] for name in COLUMNS.split(", ")}
        more["near"] = [sorted(named[row].union(near[row])) for row in lacking]
        await events.insert("fingerprints", more)


async def load(pictures: Canonical, catalogue: Catalogue, events: EventStore) -> None:
    """Rebuild an empty one from the table, without comparing pictures. Raises StoreUnavailable."""
    rows = await events.query(
        f"SELECT {COLUMNS} FROM fingerprints FINAL WHERE notEmpty(fingerprint)"
        f" ORDER BY version DESC, pin LIMIT {pictures.capacity}"
    )
    if not rows:
        return
    # Those added longest ago come first, as they go first.
    current = np.flatnonzero(_current(catalogue, rows))[::-1].tolist()
    prints: dict[bytes, Fingerprints] = {}
    of_row: list[int] = []
    place: dict[bytes, int] = {}
    for row in current:
        views = _views(rows["fingerprint"][row])
        prints.setdefault(views.tobytes(), views)
        of_row.append(place.setdefault(views.tobytes(), len(place)))
    named = {_name(views): place[key] for key, views in prints.items()}
    pairs = [
        (own, named[name])
        for row, own in zip(current, of_row, strict=True)
        for name in np.asarray(rows["near"][row]).tolist()
        if name in named
    ]
    pictures.load(
        {
            "pin": np.asarray(rows["pin"])[current],
            "created": np.asarray(rows["created"])[current],
            "picture": np.array(of_row, np.int64),
            "views": np.array(list(prints.values()), np.uint64).reshape(-1, len(VIEWS), WORDS),
            "pairs": np.array(pairs, np.int64).reshape(-1, 2),
        }
    )


async def _folded(pictures: Canonical, catalogue: Catalogue, rows: Rows) -> list[list[int]]:
    """Of each row the names of the pictures that are near to its own; none where it had no effect."""
    near: list[list[int]] = []
    for row, pin in enumerate(np.asarray(rows["pin"], np.int64).tolist()):
        # Of each row when its turn comes: meanwhile the pin may have been deleted.
        if not _current(catalogue, {name: rows[name][row : row + 1] for name in ("pin", "version", "fingerprint")})[0]:
            near.append([])
            continue
        if len(rows["fingerprint"][row]):
            pictures.add(pin, int(rows["created"][row]), _views(rows["fingerprint"][row]))
        else:
            pictures.remove(pin)
        near.append(sorted(map(_name, pictures.near_to(pin))))
        # To look at all pictures takes milliseconds when there are many.
        await asyncio.sleep(0)
    return near


def _current(catalogue: Catalogue, rows: Rows) -> NDArray[np.bool_]:
    # Arrow's columns are read-only, for which numba would compile every kernel again.
    pins = np.array(rows["pin"], np.int64)
    newest: NDArray[np.bool_] = catalogue.versions(pins) <= np.asarray(rows["version"])
    blank = np.array([not len(each) for each in rows["fingerprint"]], np.bool_)
    return newest & (blank | ~catalogue.is_deleted(pins))


def _views(fingerprint: Sequence[int] | NDArray[np.int64]) -> Fingerprints:
    return np.array(fingerprint, np.int64).view(np.uint64).reshape(len(VIEWS), WORDS)


def _name(views: Fingerprints) -> int:
    """A picture in 63 bits, the same for ever: names are stored."""
    return combined_id("picture", *views.ravel().tolist())
