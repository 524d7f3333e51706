"""Warm-up: every compiled operator is used once before the first record and the first request.

numba compiles on first use, which takes seconds and holds the event loop; later processes read its cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from operators.annotations.confidence import said_by_texts
from operators.annotations.pin_words import PinWords
from operators.annotations.word_vectors import word_vectors
from operators.annotations.words import pin_text
from operators.batch import Engagement, Records, Source
from operators.cosines import cosines
from operators.decode import decode_engagement, decode_events
from operators.events import PinEvent, Surface
from operators.graph.neighbourhood import neighbourhoods
from operators.graph.origin import Origin
from operators.graph.pixie import Walking
from operators.graph.standing import standing
from operators.interests.ward import clusters
from operators.linchpin.columns import columns_of
from operators.linchpin.kernels import common_ids, dots
from operators.linchpin.models import Forest, Layers
from operators.linchpin.program import Program
from operators.related.memboost import related_slate
from operators.rings import Rings
from operators.sequence.next_actions import EVERY, NextActions
from operators.slate.blend import Blending, drawn_shares
from operators.slate.candidates import Found, merge
from operators.slate.diversity import similarity
from operators.slate.exploration import Exploration, Newness, explored
from operators.slate.ordering import Ordering, order
from operators.vision.canonical import Canonical
from operators.vision.colours import salient_palette
from operators.vision.fingerprint import VIEWS, WORDS
from operators.vision.photo_quality import photo_quality
from streams.feed_schedule import FeedSchedule
from streams.slate_sources.best import best_of
from streams.slate_spec import shipped
from streams.state import HotState

_TIME = 1_750_000_000_000
_PIN = {"type": "created", "pinner": 1, "board": 2, "time": _TIME}
_SAVE = {"pinner": 3, "board": 4, "time": _TIME}


def warm_up() -> None:
    """Fold two pins and two saves into a state that is thrown away, ask it what a slate asks, and look at a photo."""
    state = HotState()
    pins = decode_events(_records("pins", [_PIN | {"pin": pin} for pin in (11, 12)])).good
    state.apply_pins([(offset, event) for offset, _, event in pins if isinstance(event, PinEvent)])
    saves = decode_engagement(_records("saves", [_SAVE | {"pin": pin} for pin in (11, 12)])).good
    state.duplicates.admit(saves.event_id)
    state.apply(state.catalogue.enrich(saves, state.follows))
    # What ClickHouse and other workers bring is read-only, which numba takes for another type.
    stored = _read_only(saves)
    state.duplicates.load(stored.event_id)
    state.apply(state.catalogue.enrich(stored, state.follows))

    ids, one = np.array([11, 12]), np.array([11])
    state.board_graph.related(one, np.ones(1), 1)
    state.board_graph.walk(one, np.ones(1), 1, 1, Walking(steps=100))
    neighbourhoods(state.board_graph, one, 1)
    standing(state.board_graph, one)
    model = state.together
    model.learn(model.draw())
    model.recommend(one, 1)
    state.board_graph.compact()
    state.board_graph.drop(one, np.array([4]), Origin.SAVED)
    state.board_graph.remove(one)
    state.pin2vec.learn(2 * _TIME)
    state.pin2vec.nearest(one, np.ones(1), 1)
    state.memboost.update(_shown_among_related(saves))
    state.memboost.boosts(11, ids)
    state.trending.top(1, _TIME)
    state.quality.pins(ids, _TIME)
    state.quality.owners(one, _TIME)
    state.quality.domains(one, _TIME)
    state.quality.leaders(1, _TIME)
    state.recent.saved(3)
    for brief in (True, False):
        Rings(1, brief=brief).close_up()
    state.next_actions.next(ids, 1.0, 1)
    many = np.arange(EVERY) % 8 + 1
    NextActions(followers=1, max_items=1, max_pinners=1).update(many, many, many)  # forgets, too
    clusters(np.eye(3), 1.0)
    state.recent.seen(3)
    state.recent.has_saved(3, ids)
    state.catalogue.pins_of(1, 1)
    state.catalogue.facts(ids)
    state.take_words(_words())
    said_by_texts([pin_text("warm up")], state.texts.dictionary)
    state.texts.index.search([(np.array([1, 2]), 1.0)], 1)
    state.texts.load(PinWords(np.array([13]), np.array([2]), ids, np.zeros(2, np.uint8)))
    word_vectors(state.texts.index.words_of(ids))
    state.texts.drop(one)
    merge({"boards": Found(ids, np.ones(2, np.float32))}, 1)
    best_of(ids, np.ones(2, np.float32), 1, without=one)
    FeedSchedule().due(ids, ids, ids, 0.0)
    zeros = np.zeros(2, np.int64)
    vectors = np.eye(2, dtype=np.float32)
    for method in ("dpp", "ssd"):
        how = Ordering(method=method)
        order(np.ones(2, np.float32), lambda some: similarity(vectors[some]), zeros, zeros, seed=0, ordering=how)
    fresh = Newness(*np.ones((3, 30), np.float32))
    explored(np.arange(25), np.arange(25, 30), fresh, rate=0.1, seed=0, choices=Exploration())
    counted = state.rewards.everybody
    drawn_shares(counted, counted, Blending(), 0)
    cosines(vectors, np.array([0, -1]), vectors)
    state.shown.add(one, np.array([3]), np.array([_TIME]), one, one)
    state.rewards.update(state.shown.attributed(saves))
    state.rewards.update(state.shown.attributed(stored))
    _models()
    pictures = Canonical()
    for pin in (1, 2):
        pictures.add(pin, _TIME, np.full((len(VIEWS), WORDS), pin, np.uint64))
    for look in (salient_palette, photo_quality):
        look(np.zeros((8, 8, 3), np.uint8))


def _models() -> None:
    """What a spec may hold; the one that ships needs only some of it."""
    row = np.zeros((1, 2), np.float32)
    dots(row, row)
    starts, ids = np.array([0, 1]), np.array([1])
    common_ids(starts, ids, starts, ids)
    Layers.of([{"weight": [[1.0], [1.0]]}])(row)
    leaf = {"children_left": [-1], "children_right": [-1], "feature": [-1], "threshold": [0.0], "value": [0.0]}
    Forest.of([leaf])(row)
    spec = shipped().graph
    Program(spec).run(columns_of([{}], spec.inputs))


def _words() -> dict[str, list[Any]]:
    """Rows of ``pin_annotations`` for the two pins."""
    versions = [_TIME] * 2
    return {"pin": [11, 12], "stage": [1, 1], "version": versions, "words": [[1, 2], [2]], "fields": [[0, 0], [0]]}


def _records(topic: str, events: Sequence[Mapping[str, object]]) -> Records:
    n = len(events)
    values: list[bytes | None] = [msgspec.json.encode(event) for event in events]
    return Records.of(Source(topic, 0, 0, n - 1), np.arange(n), np.full(n, _TIME), values)


def _shown_among_related(engagement: Engagement) -> Engagement:
    slates = np.full(len(engagement), related_slate(11))
    return replace(engagement, slate=slates, surface=np.full(len(engagement), Surface.RELATED, np.uint8))


def _read_only(engagement: Engagement) -> Engagement:
    columns = {name: getattr(engagement, name).copy() for name in Engagement.__slots__ if name != "source"}
    for column in columns.values():
        column.setflags(write=False)
    return replace(engagement, **columns)


if __name__ == "__main__":
    warm_up()
