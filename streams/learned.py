"""What a worker has learned, as a file holds it: vectors of sessions, what comes next, what is saved together.

Each is a function of the actions that it learned from. The file says which those are: of each partition all up to an
offset, learned or waiting. So any worker may go on from it, whichever wrote it, and none is learned twice or left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from streams.erasure import Erased
from streams.learned_file import Columns, Unusable, Views, read
from streams.settings import Settings
from streams.state import HotState
from streams.stores.protocols import EventStore

log = logging.getLogger(__name__)
#: Grows with whatever makes older files useless: other columns, or another way to learn under the same settings.
FORMAT = 1
#: Prefixes of columns, and the parts of a file that they make up: each is of use where its settings are as they were.
PIN2VEC, NEXT, TOGETHER = "pin2vec.", "next.", "together."
PARTS = {"actions": (PIN2VEC, NEXT), "saves": (TOGETHER,)}


class Witness(NamedTuple):
    """An event of ClickHouse, by its place in Kafka's log: another log, or an older copy, has another one there."""

    topic: str
    partition: int
    offset: int
    event: int


NOBODY = Witness("", 0, -1, 0)


class Said(msgspec.Struct, frozen=True):
    """What a file says of itself.

    Attributes:
        witness: a stored event of the log that it was learned from.
        settings: how each part learns.
        taken: topic, partition and last offset of what was learned or waits.
        learned: actions learned so far.
    """

    format: int
    witness: Witness
    settings: dict[str, str]
    taken: list[tuple[str, int, int]]
    learned: int


@dataclass(frozen=True)
class Learned:
    """What was found in the file at ``path``: parts that are of use here, and whether there is anything else in it."""

    path: Path
    said: Said | None = None
    columns: Columns | None = None
    parts: frozenset[str] = frozenset()
    clean: bool = True

    def take_up(self, state: HotState) -> None:
        """Let a state that was rebuilt but for what it learns know it. Pins that are deleted by now are left out."""
        if self.said is None or self.columns is None:
            return
        if "actions" in self.parts:
            of_sessions = self.columns.part(PIN2VEC)
            state.pin2vec.restore(of_sessions)
            state.next_actions.restore(self.columns.part(NEXT))
            pins = np.unique(np.concatenate([of_sessions["pins"], of_sessions["waiting_pin"]]))
            state.pin2vec.drop(pins[state.catalogue.is_deleted(pins)])
            state.learned_before = {(topic, partition): last for topic, partition, last in self.said.taken}
            for partition, last in state.learned_before.items():
                state.taken[partition] = max(last, state.taken.get(partition, -1))
        if "saves" in self.parts:
            state.together.take_up(self.columns.part(TOGETHER))
        log.info(
            "what was learned is here again from %s: %d actions, %d pins with a vector",
            self.path, state.pin2vec.learned, len(state.pin2vec),
        )  # fmt: skip

    def without(self, state: HotState, erased: Erased) -> Learned:
        """Leave out of the state who is erased; ``clean`` is false where somebody was."""
        return replace(self, clean=self.clean and not forget(state, erased))


async def find(settings: Settings, events: EventStore, state: HotState) -> Learned:
    """What the file of this home holds for a new ``state``. A file that is of no use is named in the log.

    Raises StoreUnavailable.
    """
    nothing = Learned(settings.home / "data" / "learned" / "learned.bin")
    try:
        said, columns = await asyncio.to_thread(_read, nothing.path)
        if not await _stands(events, said.witness):
            raise Unusable(f"it was learned from another log: ClickHouse does not have {said.witness}")
    except FileNotFoundError:
        return nothing
    except (Unusable, OSError) as error:
        log.warning("%s is of no use, and is learned anew: %s", nothing.path, error)
        return replace(nothing, clean=False)
    parts = frozenset(_fitting(said, columns, state))
    for part in PARTS.keys() - parts:
        log.warning("%s: %s are learned anew, as they were learned with other settings", nothing.path, part)
    return replace(nothing, said=said, columns=columns, parts=parts, clean=len(parts) == len(PARTS))


def forget(state: HotState, erased: Erased) -> bool:
    """Leave out who is erased; whether somebody was there."""
    pinners, found = erased.pinners, False
    for learner in (state.pin2vec, state.next_actions):
        for pinner in pinners[learner.remembers(pinners)].tolist():
            learner.erase(pinner)
            found = True
    return found


def settings_of(state: HotState) -> dict[str, str]:
    """How each part learns: what was learned otherwise does not go on as it would have."""
    model = state.together
    return {
        "actions": f"{state.pin2vec.how} {state.next_actions.how}",
        "saves": f"{model.taste.learning} {model.spectrum.width} {model.seed}"
        + ("" if model.factors is None else f" {model.factors.fitting}"),
    }


def gathered(state: HotState, witness: Witness) -> tuple[Said, Callable[[], Views]]:
    """What a file of this moment says, and what gives its columns, in any thread: it must be called, once.

    Nothing may be learned until they are written, and the model of saves must not be busy.
    """
    taken = [(topic, partition, last) for (topic, partition), last in sorted(state.taken.items())]
    said = Said(FORMAT, witness, settings_of(state), taken, state.pin2vec.learned)
    of_actions = _named(PIN2VEC, state.pin2vec.views()) | _named(NEXT, state.next_actions.views())
    saves = state.together.keepsake()
    return said, lambda: of_actions | _named(TOGETHER, saves())


def _fitting(said: Said, columns: Columns, state: HotState) -> Iterator[str]:
    wanted, kinds = settings_of(state), columns.kinds()
    empty = {name: (column.dtype.str, column.ndim) for name, column in gathered(state, NOBODY)[1]().items()}
    for part, prefixes in PARTS.items():
        one, other = ({name: of[name] for name in of if name.startswith(prefixes)} for of in (kinds, empty))
        if said.settings.get(part) == wanted[part] and one == other:
            yield part


def _named(prefix: str, columns: Views) -> dict[str, np.ndarray]:
    return {prefix + name: column for name, column in columns.items()}


def _read(path: Path) -> tuple[Said, Columns]:
    said, columns = read(path)
    if said.get("format") != FORMAT:
        raise Unusable(f"its format is {said.get('format')}, not {FORMAT}")
    return msgspec.convert(said, Said), columns


async def find_witness(events: EventStore) -> Witness | None:
    """Any stored event; None where there is none yet. Raises StoreUnavailable."""
    rows = await events.query("SELECT topic, partition, offset, event_id FROM engagement LIMIT 1")
    return Witness(*(column[0] for column in map(np.ndarray.tolist, rows.values()))) if rows else None


async def _stands(events: EventStore, witness: Witness) -> bool:
    rows = await events.query(
        "SELECT event_id FROM engagement WHERE topic = {topic:String} AND partition = {partition:UInt16}"
        " AND offset = {offset:Int64}",
        {"topic": witness.topic, "partition": witness.partition, "offset": witness.offset},
    )
    return bool(rows) and int(rows["event_id"][0]) == witness.event
