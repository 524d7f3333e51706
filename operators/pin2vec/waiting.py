"""Waiting actions: put into the log's own order, whatever order they come in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.id_index import Ints
from operators.small_sets import contains


class Actions(NamedTuple):
    """Columns ``(n,)``: the broker's time (ms), event id, pinner, pin and event time (ms)."""

    logged: Ints
    event: Ints
    pinner: Ints
    pin: Ints
    time: Ints

    def rows(self, chosen: np.ndarray | slice) -> Actions:
        return Actions(*(column[chosen] for column in self))


NONE = Actions(*(np.zeros(0, np.int64) for _ in Actions._fields))


class Waiting:
    """Actions by (logged, event id). What is put in after later ones were taken comes next."""

    def __init__(self) -> None:
        self._fresh: list[Actions] = []
        self._ready, self._at, self._size = NONE, 0, 0
        self._gone: dict[str, set[int]] = {"pin": set(), "pinner": set()}

    def __len__(self) -> int:
        return self._size

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for each in (*self._fresh, self._ready) for column in each)

    def put(self, actions: Actions) -> None:
        if len(actions.pin):
            self._fresh.append(actions)
            self._size += len(actions.pin)

    def take(self, until: int, most: int) -> Actions:
        """The first ``most`` that were logged up to ``until``, in order, without those of whom is gone.

        Fewer also where what was sorted ends; :func:`len` says how many were taken.
        """
        self.order(until)
        taken = self._ready.rows(slice(self._at, self._at + most))
        self._at += len(taken.pin)
        self._size -= len(taken.pin)
        left = np.ones(len(taken.pin), np.bool_)
        for name, ids in self._gone.items():
            if ids and len(left):
                left &= ~contains(getattr(taken, name), np.fromiter(ids, np.int64, len(ids)))
        if not self._size:
            self._gone = {name: set() for name in self._gone}
        return taken if left.all() else taken.rows(left)

    def order(self, until: int) -> None:
        """Sort what was logged up to ``until``, unless there is something sorted yet."""
        if self._at == len(self._ready.pin):
            self._sort(until)

    def keep_latest(self, most: int) -> None:
        """Leave out the first ones, so that at most ``most`` wait. Nothing is sorted but those of one moment."""
        if len(self) <= most:
            return
        waiting = self._joined()
        first = len(waiting.logged) - most
        moment = np.partition(waiting.logged, first)[first]
        stays = waiting.logged > moment
        same = np.flatnonzero(waiting.logged == moment)
        same = same[np.argsort(waiting.event[same], kind="stable")]
        stays[same[len(same) - (most - int(stays.sum())) :]] = True
        self._fresh, self._ready, self._at, self._size = [waiting.rows(stays)], NONE, 0, most

    def drop(self, pins: Ints) -> None:
        """Leave out what waits of these pins."""
        if self._size:
            self._gone["pin"].update(pins.tolist())

    def erase(self, pinner: int) -> None:
        """Leave out what waits of a pinner."""
        if self._size:
            self._gone["pinner"].add(pinner)

    def all(self) -> Actions:
        """Everything that will be learned, in no order."""
        found = self._joined()
        for name, ids in self._gone.items():
            if ids:
                found = found.rows(~contains(getattr(found, name), np.fromiter(ids, np.int64, len(ids))))
        return found

    def _joined(self) -> Actions:
        parts = [*self._fresh, self._ready.rows(slice(self._at, None))]
        return Actions(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _sort(self, until: int) -> None:
        self._ready, self._at = NONE, 0
        if not self._fresh:
            return
        fresh = Actions(*(np.concatenate(columns) for columns in zip(*self._fresh, strict=True)))
        due = fresh.logged <= until
        ready = fresh.rows(due)
        self._ready = ready.rows(np.lexsort((ready.event, ready.logged)))
        self._fresh = [] if due.all() else [fresh.rows(~due)]
