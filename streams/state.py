"""Hot state: what a worker keeps in memory, folded from its batches and rebuilt from ClickHouse at start."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from operators.annotations.pin_texts import PinTexts
from operators.batch import Engagement, Ints
from operators.catalogue import Catalogue
from operators.collaborative.model import SavesModel
from operators.collaborative.taste import Learning
from operators.duplicates import RecentIds
from operators.events import Kind, PinEvent, PinnerEvent
from operators.follows import Follows
from operators.graph.live import LiveGraph
from operators.graph.origin import Origin
from operators.identity import stable_id
from operators.interests.chosen import Chosen
from operators.pin2vec.pin2vec import Pin2Vec
from operators.pin2vec.waiting import Actions
from operators.quality import Quality
from operators.recent_actions import RecentActions
from operators.related.memboost import Memboost
from operators.safety import Safety
from operators.sequence.next_actions import NextActions
from operators.slate.rewards import Rewards
from operators.slate.shown import Shown
from operators.trending import Trending
from operators.vision.canonical import Canonical
from streams import related_memory
from streams.pin_words import take
from streams.rebuild import rebuild
from streams.stores.protocols import EventStore

if TYPE_CHECKING:
    from streams.learned import Learned

Partition = tuple[str, int]
#: Of the model of saves: some 2 KB a pin. Larger ones find more: ``docs/collaborative.md``.
WIDTH, DIRECTIONS = 32, 64


class HotState:
    """All folds of one worker. ``now`` is stream time: the largest event time seen, in milliseconds."""

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.texts = PinTexts()
        self.pictures = Canonical()
        self.follows = Follows()
        self.safety = Safety()
        self.quality = Quality(self.safety)
        self.board_graph = LiveGraph()
        self.together = SavesModel(self.board_graph, learning=Learning(width=WIDTH), directions=DIRECTIONS)
        self.trending = Trending()
        self.recent = RecentActions()
        self.next_actions = NextActions()
        self.pin2vec = Pin2Vec(then=self._learn_what_follows)
        self.memboost = Memboost()
        self.chosen = Chosen()
        self.shown = Shown()
        self.rewards = Rewards()
        self.duplicates = RecentIds()
        self.now = 0
        #: Of each partition the last offset whose action waits to be learned or was, and the same of a file's memory:
        #: Kafka may deliver what the worker before had learned already.
        self.taken: dict[Partition, int] = {}
        self.learned_before: dict[Partition, int] = {}
        #: Held by who learns from actions, and by who reads what was learned.
        self.learning = asyncio.Lock()

    def apply(self, engagement: Engagement, parts: Sequence[Engagement] = ()) -> None:
        """Fold a batch in: enriched, without duplicates.

        ``parts``: the same rows by batch, where several came together.
        """
        if not len(engagement):
            return
        self.now = max(self.now, int(engagement.time.max()))
        self.quality.update(engagement)
        self.recent.update(engagement)
        self.rewards.update(engagement)
        deleted = self.catalogue.is_deleted(engagement.pin)
        saved = (engagement.kind == Kind.SAVE) & ~deleted
        self.board_graph.add(engagement.pin[saved], engagement.board[saved])
        self.trending.update(engagement, ignored=deleted)
        related_memory.fold(self, engagement, deleted, parts or [engagement])

    def apply_pins(self, events: Sequence[tuple[int, PinEvent]]) -> NDArray[np.bool_]:
        """Take ``(offset, event)`` with integer ids; returns which events are the newest of their pin, ``(n,)``."""
        if not events:
            return np.zeros(0, np.bool_)
        pins = _column([event.pin for _, event in events])
        boards = _column([event.board for _, event in events])
        times = _column([event.time for _, event in events])
        deleted = np.array([event.type == "deleted" for _, event in events])
        before = self.catalogue.boards(pins)
        accepted = self.catalogue.accept(
            pins,
            times,
            deleted,
            _column([offset for offset, _ in events]),
            owners=_column([event.pinner for _, event in events]),
            boards=boards,
            domains=_column([domain_id(event.domain) for _, event in events]),
        )
        self.now = max(self.now, int(times.max()))
        self._settle(pins, before)
        return accepted

    def take_words(self, rows: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        """Take rows of ``pin_annotations``: what text search finds pins by. Those of older versions have no effect."""
        take(self.texts, self.catalogue, rows)

    def apply_pinner(self, event: PinnerEvent) -> None:
        """Take a follow, an unfollow, chosen interests or an erasure, with integer ids."""
        if event.type in ("followed", "unfollowed"):
            followed = _column(event.pinners)
            shape = len(followed)
            self.follows.accept(
                np.full(shape, event.pinner, np.int64),
                followed,
                np.full(shape, event.time, np.int64),
                np.full(shape, event.type == "followed"),
            )
        elif event.type == "deleted":
            self.erase(int(event.pinner))
        elif event.type in ("signed_up", "interests"):
            self.chosen.accept(int(event.pinner), event.time, event.interests)

    def erase(self, pinner: int) -> Ints:
        """Forget a pinner everywhere in memory; returns the ids of their pins, which are deleted."""
        pins = self.catalogue.all_pins_of(pinner)
        self.catalogue.erase(pinner)
        self.follows.erase(pinner)
        self.quality.erase(pinner)
        self.recent.erase(pinner)
        self.pin2vec.erase(pinner)
        self.next_actions.erase(pinner)
        self.chosen.erase(pinner)
        self.shown.erase(pinner)
        self.rewards.erase(pinner)
        self.board_graph.remove(pins)
        self.trending.remove(pins)
        self._forget_content(pins)
        return pins

    async def load(self, events: EventStore, learned: Learned | None = None) -> None:
        """Rebuild everything from ClickHouse, and what was learned from a file. Raises StoreUnavailable."""
        await rebuild(self, events, learned)

    def _learn_what_follows(self, actions: Actions) -> None:
        self.next_actions.update(actions.pinner, actions.time, actions.pin)

    def _settle(self, pins: Ints, boards_before: Ints) -> None:
        """Bring what hangs off the catalogue in line with it, whichever of the events won."""
        pins, first = np.unique(pins, return_index=True)
        before, boards = boards_before[first], self.catalogue.boards(pins)
        gone = self.catalogue.is_deleted(pins)
        moved = (before != 0) & (before != boards)
        self.board_graph.drop(pins[moved], before[moved], Origin.HOME)
        self.board_graph.add(pins[~gone], boards[~gone], Origin.HOME)
        self.board_graph.remove(pins[gone])
        self.trending.remove(pins[gone])
        self._forget_content(pins[gone])

    def _forget_content(self, pins: Ints) -> None:
        self.texts.drop(pins)
        related_memory.forget(self, pins)
        for pin in pins.tolist():
            self.pictures.remove(pin)


def domain_id(domain: str) -> int:
    """The id of a domain name, 0 for none."""
    return stable_id(domain) if domain else 0


def _column(values: Sequence[int | str | None]) -> Ints:
    return np.array([0 if value is None else value for value in values], np.int64)
