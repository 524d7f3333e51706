"""Pins of chosen topics: what a new pinner gets before their first action.

A topic is looked up in the taxonomy, ignoring case, spaces and punctuation, and its names and those of all below are
looked for in the texts of pins, which hold the names of boards too. A topic that the taxonomy does not know is looked
for as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from operators.annotations.words import word_id, words
from operators.batch import Ints
from operators.slate.candidates import NOTHING, Found
from operators.slate.choices import DAY_MS, Choices
from operators.small_sets import best_scores
from streams.annotating import taxonomy
from streams.engine import Engine

#: Names of one topic, and topics of one pinner, that one slate looks for.
PHRASES, TOPICS = 32, 8
#: Milliseconds after which a pin's recency counts half.
HALF_LIFE = 30 * DAY_MS


def pins_of_topics(engine: Engine, topics: Sequence[str], now: int, choices: Choices) -> Found:
    """Pins of ``topics``, each topic's best first in turns. Score: 1 for a topic's best pin, 1/2 for the next, ….

    Within a topic the order is by how well the words match, by engagement (quality) and by recency.
    """
    found = [ranked for topic in topics[:TOPICS] if len(ranked := _pins_of(engine, topic, now, choices))]
    if not found:
        return NOTHING
    places = np.concatenate([np.arange(len(each)) for each in found])
    pins, scores = best_scores(np.concatenate(found), (1.0 / (1.0 + places)).astype(np.float32))
    order = np.lexsort((pins, -scores))[: choices.source_limit]
    return Found(pins[order], scores[order])


def _pins_of(engine: Engine, topic: str, now: int, choices: Choices) -> Ints:
    hits = engine.state.texts.index.search([(each, 1.0) for each in _wanted(topic)], choices.source_limit)
    if not len(hits.pins):
        return hits.pins
    quality = engine.state.quality.pins(hits.pins, now)
    # A pin that nobody was shown yet stands in the middle.
    engaging = 1 / (1 + np.exp(-np.where(quality.exposure > 0, np.clip(quality.all, -20, 20), 0.0)))
    age = np.maximum(now - engine.state.catalogue.created(hits.pins), 0)
    worth = hits.scores / max(float(hits.scores.max()), 1e-9) * engaging * (0.5 + 0.5 * np.exp2(-age / HALF_LIFE))
    return hits.pins[np.lexsort((hits.pins, -worth))]


@lru_cache(4096)  # a few topics are chosen by very many, and each slate asks for its pinner's
def _wanted(topic: str) -> list[Ints]:
    """The words of each name of a topic."""
    return [each for phrase in taxonomy().phrases(topic)[:PHRASES] if len(each := _words(phrase))]


def _words(phrase: str) -> Ints:
    return np.array([word_id(word) for word in words(phrase) if word], np.int64)
