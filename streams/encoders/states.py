"""States of encoders between the table ``encoders`` and memory. What is in the table is so; memory follows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from streams.stores.protocols import EventStore
from streams.stores.triton import ENCODER


class State(StrEnum):
    """What an encoder is for. The words are stored; never rename them."""

    FILLING = "filling"  # its index is being made from the pins that are stored
    READY = "ready"  # its index is whole
    SERVING = "serving"  # every answer is of its index
    RETIRED = "retired"  # it has served until another one took its place
    DROPPING = "dropping"  # its index is to go
    DROPPED = "dropped"


#: Whoever is in one of these has an index, and every new pin goes into it.
KEPT = frozenset({State.FILLING, State.READY, State.SERVING, State.RETIRED})


class Standing(NamedTuple):
    """One encoder: the model that Triton serves, what its vectors are called, its state, and since when (ms)."""

    model: str
    version: str
    state: State
    changed: int = 0

    @property
    def suffix(self) -> str:
        """What the names of its collections end with; nothing for the first one's."""
        return suffix_of(self.model)


Standings = Mapping[str, Standing]
#: What holds before anybody moved: the model ``encoder`` serves, in whatever version Triton has of it.
FIRST = Standing(ENCODER, "", State.SERVING)


def suffix_of(model: str) -> str:
    """``3`` of ``encoder_3``, nothing of ``encoder``. Raises ValueError for a name that is not of an encoder."""
    if model == ENCODER:
        return ""
    kind, _, suffix = model.partition("_")
    if kind != ENCODER or not suffix.isascii() or not suffix.isalnum() or len(suffix) > 24:
        raise ValueError(f"{model!r} is no encoder's name: {ENCODER}, or {ENCODER}_ and letters or digits")
    return suffix


async def standings(events: EventStore) -> dict[str, Standing]:
    """Every encoder, by its model. Raises StoreUnavailable."""
    rows = await events.query("SELECT model, version, state, changed FROM encoders FINAL ORDER BY model")
    if not rows:
        return {FIRST.model: FIRST}
    columns = zip(*(rows[name].tolist() for name in ("model", "version", "state", "changed")), strict=True)
    return {model: Standing(model, version, State(state), changed) for model, version, state, changed in columns}


def serving(found: Standings) -> Standing:
    """The encoder that serves."""
    return next((one for one in found.values() if one.state is State.SERVING), FIRST)


async def write(events: EventStore, changed: Iterable[Standing]) -> None:
    """Make these so, all at once. Raises StoreUnavailable; may be repeated."""
    rows = list(changed)
    columns = {name: [str(getattr(one, name)) for one in rows] for name in ("model", "version", "state")}
    await events.insert("encoders", columns | {"changed": [one.changed for one in rows]})


def moved(one: Standing, state: State) -> Standing:
    """The encoder in another state as of now, by a person's wish."""
    return one._replace(state=state, changed=max(time.time_ns() // 1_000_000, one.changed + 1))


def advanced(one: Standing, state: State) -> Standing:
    """The encoder in another state as the work goes on: any wish since then outweighs it."""
    return one._replace(state=state, changed=one.changed + 1)
