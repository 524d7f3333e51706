"""Canonical pins: the same picture pinned again and again is one picture.

Pins whose pictures' fingerprints are near each other form a group, and so do pins near to those (connected
components). The canonical pin is the group's earliest. What is held does not depend on the order in which pins came
and went, as long as there is room: it is what adding the remaining ones in any order gives.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.vision.fingerprint import VIEWS, WORDS, Fingerprints
from operators.vision.hamming import HammingIndex
from operators.vision.rolled_up import RolledUp

#: Bits apart at most to be the same picture: chosen on real photos (``docs/near-duplicates.md``).
NEAR = 48
#: Within so many bits nobody else is asked.
SURE = 32
#: Pins held.
CAPACITY = 250_000

#: Are two pins' pictures the same, e.g. by the cosine of their vectors? Must not depend on which is named first.
Opinion = Callable[[int, int], bool]
#: When a pin appeared, milliseconds, and the pin: the least of a group is canonical.
Dated = tuple[int, int]


@dataclass(slots=True)
class _Picture:
    slot: int
    pins: list[Dated] = field(default_factory=list[Dated])
    near: set[int] = field(default_factory=set[int])
    group: int = 0


class Canonical:
    """Groups of pins by picture. Pins with equal fingerprints share one entry, so a popular picture costs little.

    Args:
        near: bits apart at most.
        capacity: pins at most; beyond it the one added longest ago is forgotten.
        opinion: asked about pictures more than :data:`SURE` apart, by each one's earliest pin at that moment;
            without it the fingerprint decides alone.
    """

    def __init__(self, near: int = NEAR, capacity: int = CAPACITY, opinion: Opinion | None = None) -> None:
        self.near, self.capacity, self._opinion = near, capacity, opinion
        self._index = HammingIndex()
        self._pictures: dict[int, _Picture] = {}
        self._by_print: dict[bytes, int] = {}
        self._of_pin: dict[int, tuple[int, int]] = {}
        self._groups: dict[int, set[int]] = {}
        self._rolled_up = RolledUp()

    def __len__(self) -> int:
        """Pins known."""
        return len(self._of_pin)

    def add(self, pin: int, created: int, views: Fingerprints) -> int:
        """A pin and its picture's fingerprint ``(views, WORDS)``; a pin known already changes its picture.

        A picture too flat for a fingerprint (all bits 0) is only itself. Returns the canonical pin.
        """
        name = views.tobytes()
        if self._of_pin.get(pin) == (self._by_print.get(name), created):
            return self.canonical(pin)
        self.remove(pin)
        if not views.any():
            return pin
        slot = self._by_print.get(name)
        if slot is None:
            slot = self._by_print[name] = self._new(pin, views)
        insort(self._pictures[slot].pins, (created, pin))
        self._of_pin[pin] = slot, created
        self._rolled_up.put(np.array([pin]), np.array([slot]))
        self._lead(self._groups[self._pictures[slot].group])
        if len(self._of_pin) > self.capacity:
            self.remove(next(iter(self._of_pin)))
        return self.canonical(pin)

    def remove(self, pin: int) -> None:
        """Forget a pin; the group's next is canonical then. A group that only its picture held together falls apart."""
        slot, created = self._of_pin.pop(pin, (-1, 0))
        if slot < 0:
            return
        picture = self._pictures[slot]
        picture.pins.remove((created, pin))
        self._rolled_up.put(np.array([pin]), np.array([-1]))
        if picture.pins:
            self._lead(self._groups[picture.group])
            return
        del self._pictures[slot], self._by_print[self._index.views(slot).tobytes()]
        self._index.remove(slot)
        for other in picture.near:
            self._pictures[other].near.discard(slot)
        self._regroup(self._groups.pop(picture.group) - {slot})

    def canonical(self, pin: int) -> int:
        """The earliest pin of the same picture; the pin itself when nothing is known of it."""
        return int(self.canonicals(np.array([pin], np.int64))[0])

    def canonicals(self, pins: Ints) -> Ints:
        """:meth:`canonical` of many pins. ``(n,) -> (n,)``."""
        return self._rolled_up.of(pins)

    def near_to(self, pin: int) -> list[Fingerprints]:
        """Fingerprints ``(views, WORDS)`` of the other pictures that are near to a pin's own."""
        near = self._pictures[self._of_pin[pin][0]].near if pin in self._of_pin else ()
        return [self._index.views(slot) for slot in sorted(near)]

    def group(self, pin: int) -> list[int]:
        """All pins of the same picture, earliest first."""
        if pin not in self._of_pin:
            return [pin]
        slots = self._groups[self._pictures[self._of_pin[pin][0]].group]
        return [each for _, each in sorted(dated for slot in slots for dated in self._pictures[slot].pins)]

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Columns for :meth:`load`: of each pin its time and picture, of each picture its fingerprint and who is near.

        Pins are in the order in which they were added.
        """
        slots = sorted(self._pictures)
        row = {slot: at for at, slot in enumerate(slots)}
        pairs = [(row[slot], row[other]) for slot in slots for other in self._pictures[slot].near if slot < other]
        return {
            "pin": np.array(list(self._of_pin), np.int64),
            "created": np.array([created for _, created in self._of_pin.values()], np.int64),
            "picture": np.array([row[slot] for slot, _ in self._of_pin.values()], np.int64),
            "views": np.array([self._index.views(slot) for slot in slots], np.uint64).reshape(-1, len(VIEWS), WORDS),
            "pairs": np.array(sorted(pairs), np.int64).reshape(-1, 2),
        }

    def load(self, saved: Mapping[str, NDArray[np.generic]]) -> None:
        """Fill an empty one with what :meth:`save` gave. Raises KeyError for a missing column."""
        views = np.asarray(saved["views"], np.uint64)
        slots = [self._index.add(each) for each in views]
        for slot, each in zip(slots, views, strict=True):
            self._pictures[slot], self._by_print[each.tobytes()] = _Picture(slot), slot
        columns = [np.asarray(saved[name], np.int64).tolist() for name in ("pin", "created", "picture")]
        for pin, created, picture in zip(*columns, strict=True):
            insort(self._pictures[slots[picture]].pins, (created, pin))
            self._of_pin[pin] = slots[picture], created
        for one, other in np.asarray(saved["pairs"], np.int64).tolist():
            self._pictures[slots[one]].near.add(slots[other])
            self._pictures[slots[other]].near.add(slots[one])
        if slots:
            self._rolled_up.put(np.array(columns[0], np.int64), np.array(slots)[columns[2]])
        self._regroup(set(slots))

    def _new(self, pin: int, views: Fingerprints) -> int:
        found = self._index.within(views, self.near)
        near = {slot for slot, apart in found.items() if self._same(pin, slot, apart)}
        slot = self._index.add(views)
        self._pictures[slot] = _Picture(slot, near=near)
        for other in near:
            self._pictures[other].near.add(slot)
        self._merge({self._pictures[other].group for other in near}, slot)
        return slot

    def _same(self, pin: int, slot: int, apart: int) -> bool:
        if apart <= SURE or self._opinion is None:
            return True
        return self._opinion(pin, self._pictures[slot].pins[0][1])

    def _merge(self, names: set[int], slot: int) -> None:
        """A new picture joins these groups; only pictures of the smaller ones are touched."""
        groups = sorted((self._groups.pop(name) for name in names), key=len)
        largest = groups.pop() if groups else set[int]()
        name = self._pictures[next(iter(largest))].group if largest else slot
        for each in {slot}.union(*groups):
            self._pictures[each].group = name
            largest.add(each)
        self._groups[name] = largest

    def _regroup(self, slots: set[int]) -> None:
        """Groups of these pictures anew, by who can be reached from whom; each named by one of its slots."""
        for first in sorted(slots):
            reached, edge = set[int](), [first] if first in slots else []
            while edge:
                slot = edge.pop()
                if slot not in reached:
                    reached.add(slot)
                    edge += self._pictures[slot].near
            if reached:
                for slot in reached:
                    self._pictures[slot].group = first
                self._groups[first] = reached
                self._lead(reached)
                slots -= reached

    def _lead(self, slots: set[int]) -> None:
        self._rolled_up.lead(slots, min(self._pictures[slot].pins[0] for slot in slots)[1])
