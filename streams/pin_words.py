"""Words of pins between the table ``pin_annotations`` and memory: what text search finds pins by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.annotations.pin_texts import PinTexts
from operators.annotations.pin_words import PinWords
from operators.catalogue import Catalogue
from streams.stores.protocols import EventStore

#: Pins whose words are read at a time at a start: about 300 bytes each on the way.
PINS_AT_ONCE = 200_000
#: Columns that memory needs.
COLUMNS = "pin, stage, version, words, fields"


class Stage(IntEnum):
    """When a row was written. The numbers are stored; never renumber."""

    OWN = 1
    SEEN = 2


def take(texts: PinTexts, catalogue: Catalogue, rows: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Fold rows in whose version is the newest that the catalogue knows of a living pin; others have no effect."""
    current = _current(catalogue, rows)
    for stage in Stage:
        chosen = np.flatnonzero(current & (np.asarray(rows["stage"]) == stage))
        if len(chosen):
            (texts.put_own if stage == Stage.OWN else texts.put_seen)(_words(rows, chosen))


async def load(texts: PinTexts, catalogue: Catalogue, events: EventStore) -> None:
    """Rebuild empty texts from the table. Raises StoreUnavailable."""
    counted = await events.query("SELECT count() AS n FROM pin_annotations")
    parts = 1 + int(counted["n"][0]) // PINS_AT_ONCE
    for part in range(parts):
        rows = await events.query(
            f"SELECT {COLUMNS} FROM pin_annotations FINAL WHERE pin % {parts} = {part}"
            " AND notEmpty(words) ORDER BY pin, stage"
        )
        if rows:
            pins, ends, words, fields = _words(rows, np.flatnonzero(_current(catalogue, rows)))
            # Stage 2 follows stage 1 of the same pin: the words of both are one text.
            last = np.append(pins[1:] != pins[:-1], True)[: len(pins)]
            texts.load(PinWords(pins[last], ends[last], words, fields))


def _current(catalogue: Catalogue, rows: Mapping[str, Any]) -> NDArray[np.bool_]:
    # Arrow's columns are read-only, for which numba would compile every kernel again.
    pins = np.array(rows["pin"], np.int64)
    newest: NDArray[np.bool_] = catalogue.versions(pins) == np.asarray(rows["version"])
    return newest & catalogue.known(pins) & ~catalogue.is_deleted(pins)


def _words(rows: Mapping[str, Any], chosen: NDArray[np.intp]) -> PinWords:
    words = [np.asarray(rows["words"][row], np.int64) for row in chosen.tolist()]
    fields = [np.asarray(rows["fields"][row], np.uint8) for row in chosen.tolist()]
    return PinWords(
        np.array(rows["pin"], np.int64)[chosen],
        np.cumsum([len(each) for each in words], dtype=np.int64),
        np.concatenate([np.zeros(0, np.int64), *words]),
        np.concatenate([np.zeros(0, np.uint8), *fields]),
    )
