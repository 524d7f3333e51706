"""The catalogue against a plain model, in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.catalogue import Catalogue
from operators.follows import Follows
from tests.operators.folded import engagement


@dataclass(frozen=True)
class PinRow:
    pin: int
    version: int
    deleted: bool
    offset: int
    owner: int
    board: int


ROWS = st.lists(
    st.builds(
        PinRow,
        pin=st.integers(1, 8),
        version=st.integers(1, 5),
        deleted=st.booleans(),
        offset=st.just(0),
        owner=st.integers(0, 3),
        board=st.integers(0, 3),
    ),
    max_size=40,
).map(lambda rows: [PinRow(r.pin, r.version, r.deleted, i, r.owner, r.board) for i, r in enumerate(rows)])


def accept(catalogue: Catalogue, rows: list[PinRow]) -> list[bool]:
    return catalogue.accept(
        np.array([r.pin for r in rows], np.int64),
        np.array([r.version for r in rows], np.int64),
        np.array([r.deleted for r in rows], np.bool_),
        np.array([r.offset for r in rows], np.int64),
        owners=np.array([r.owner for r in rows], np.int64),
        boards=np.array([r.board for r in rows], np.int64),
        domains=np.array([10 * r.owner for r in rows], np.int64),
    ).tolist()


def winner(rows: list[PinRow], pin: int) -> PinRow | None:
    return max((r for r in rows if r.pin == pin), key=lambda r: (r.version, r.deleted, r.offset), default=None)


@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_keeps_the_newest_version_and_the_tombstones(rows: list[PinRow], random, size: int) -> None:  # type: ignore[no-untyped-def]
    mixed = random.sample(rows, len(rows))
    catalogue = Catalogue()
    for start in range(0, len(mixed), size):
        accept(catalogue, mixed[start : start + size])
    pins = np.arange(1, 10)
    won = [winner(rows, int(pin)) for pin in pins]
    assert catalogue.known(pins).tolist() == [w is not None for w in won]
    assert catalogue.is_deleted(pins).tolist() == [w is not None and w.deleted for w in won]
    facts = catalogue.facts(pins)
    assert facts.owners.tolist() == [w.owner if w else 0 for w in won]
    assert facts.domains.tolist() == [10 * w.owner if w else 0 for w in won]
    assert catalogue.boards(pins).tolist() == [w.board if w else 0 for w in won]
    assert catalogue.versions(pins).tolist() == [w.version if w else 0 for w in won]
    created = {int(p): min((r.version for r in rows if r.pin == p), default=0) for p in pins}
    assert catalogue.created(pins).tolist() == list(created.values())
    live = [int(p) for p, w in zip(pins, won, strict=True) if w and not w.deleted]
    newest = sorted(live, key=lambda pin: (-created[pin], -pin))
    assert catalogue.newest(3).tolist() == newest[:3]
    assert len(catalogue) == len(live)
    for owner in (1, 2, 3):
        theirs = [pin for pin in newest if (w := won[pin - 1]) and w.owner == owner]
        assert catalogue.pins_of(owner, 2).tolist() == theirs[:2]
        assert catalogue.all_pins_of(owner).tolist() == theirs


@given(ROWS)
def test_a_row_is_accepted_when_it_is_the_newest_so_far_and_again_when_repeated(rows: list[PinRow]) -> None:
    catalogue = Catalogue()
    expected = [winner(rows[: i + 1], row.pin) is row for i, row in enumerate(rows)]
    assert accept(catalogue, rows) == expected
    assert accept(catalogue, rows) == [winner(rows, row.pin) is row for row in rows]


@given(ROWS)
def test_facts_are_what_each_look_up_says(rows: list[PinRow]) -> None:
    catalogue, pins = Catalogue(), np.arange(10)
    facts = catalogue.facts(pins)
    assert not facts.known.any() and not facts.owners.any()
    accept(catalogue, rows)
    facts = catalogue.facts(pins)
    for column, alone in (
        (facts.created, catalogue.created),
        (facts.known, catalogue.known),
        (facts.deleted, catalogue.is_deleted),
    ):
        assert column.tolist() == alone(pins).tolist()


def test_newest_stays_right_when_the_pool_is_cut_and_then_deleted() -> None:
    random = np.random.default_rng(3)
    catalogue, count = Catalogue(), 40_000
    created = dict(zip(range(1, count + 1), random.integers(1, 5_000, count).tolist(), strict=True))
    pins = random.permutation(np.arange(1, count + 1))
    for part in np.array_split(pins, 9):
        accept(catalogue, [PinRow(int(pin), created[int(pin)], False, 0, 1, 0) for pin in part])
    order = sorted(created, key=lambda pin: (-created[pin], -pin))
    assert catalogue.newest(50).tolist() == order[:50]
    assert catalogue.newest(6_000).tolist() == order[:6_000]
    accept(catalogue, [PinRow(pin, 9_999, True, 1, 0, 0) for pin in order[:7_000]])
    assert catalogue.newest(50).tolist() == order[7_000:7_050]


def test_enrich_fills_owner_domain_and_follower_where_known() -> None:
    catalogue, follows = Catalogue(), Follows()
    accept(catalogue, [PinRow(pin, 1, False, pin, pin % 3, 0) for pin in range(1, 40)])
    follows.accept(np.array([4, 5]), np.array([1, 2]), np.array([1, 1]), np.array([True, True]))
    events = engagement(5_000, seed=1, attributed=0)
    rich = catalogue.enrich(events, follows)
    known = events.pin < 40
    assert 0 < known.sum() < len(events)
    assert np.array_equal(rich.owner, np.where(known, events.pin % 3, 0))
    assert np.array_equal(rich.domain, np.where(known, events.pin % 3 * 10, 0))
    pairs = list(zip(events.pinner.tolist(), rich.owner.tolist(), strict=True))
    assert rich.is_follower.tolist() == [pair in ((4, 1), (5, 2)) for pair in pairs]


def test_an_erased_owner_has_no_pins_and_no_name() -> None:
    catalogue = Catalogue()
    accept(catalogue, [PinRow(pin, 1, False, pin, 1 + pin % 2, 0) for pin in range(1, 9)])
    catalogue.erase(1)
    assert catalogue.pins_of(1, 9).tolist() == []
    assert catalogue.is_deleted(np.arange(1, 9)).tolist() == [False, True] * 4
    assert catalogue.facts(np.arange(1, 9)).owners.tolist() == [2, 0] * 4
    assert catalogue.newest(9).tolist() == [7, 5, 3, 1]
