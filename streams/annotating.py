"""Annotating pins: what their own text says when they are accepted, and what neighbours add when they were seen.

Words are the same whenever they are taken from the same text. Confidences follow the dictionary of the moment, which
learns from every pin: what is stored is what was said then.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from operators.accepted import AcceptedPin
from operators.annotations.confidence import Annotation, annotate, closeness, said_by_texts, votes
from operators.annotations.spans import WEIGHTS
from operators.annotations.taxonomy import Taxonomy
from operators.annotations.words import Text, phrase_of, pin_text, seen_text, words
from streams.engine import Engine
from streams.pin_words import Stage
from streams.understanding import Understanding

#: Pins that are annotated before others may do something: some 20 ms.
CHUNK = 32
#: Pins that look alike, and pins of the same boards, that are asked about one.
ALIKE, MATES = 10, 10
#: Less sure phrases of neighbours are not what a pin is found by.
LEAST_SEEN = 0.2

TAXONOMY = Path(__file__).with_name("interests.toml")
Row = dict[str, object]
Said = Mapping[str, float]


async def describe(engine: Engine, pins: Sequence[AcceptedPin]) -> list[Row]:
    """Put the words of accepted pins in memory; returns the rows of ``pin_annotations`` that say so."""
    rows: list[Row] = []
    for start in range(0, len(pins), CHUNK):
        chunk = pins[start : start + CHUNK]
        texts = [_text(pin) for pin in chunk]
        new = [_row(pin, Stage.OWN, text) for pin, text in zip(chunk, texts, strict=True)]
        engine.state.take_words(columns(new))
        said = said_by_texts(texts, engine.state.texts.dictionary)
        for pin, row, own in zip(chunk, new, said, strict=True):
            rows.append(_annotated(row, annotate(own)))
            if pin.deleted:
                rows.append(_row(pin, Stage.SEEN, Text([], [])))
        await asyncio.sleep(0)
    return rows


async def look_around(engine: Engine, seen: Sequence[Understanding]) -> dict[int, list[Annotation]]:
    """Annotate living pins by their text, what was seen in them and their neighbours; pin → annotations.

    Writes rows and memory; may be repeated. Raises StoreUnavailable.
    """
    alike, mates = await _alike(engine, seen), _mates(engine, seen)
    asked = {other for near in (*alike.values(), *mates.values()) for other, _ in near}
    said = await _said(engine, asked)
    rows: list[Row] = []
    found: dict[int, list[Annotation]] = {}
    texts = [_text(one.pin) for one in seen]
    for one, text, own in zip(seen, texts, said_by_texts(texts, engine.state.texts.dictionary), strict=True):
        pin = one.pin.pin
        for each in one.objects:
            label = phrase_of([word for word in words(each.detection.label) if word])
            doubt = 1.0 - WEIGHTS.fields[-1] * each.detection.confidence
            own[label] = 1.0 - (1.0 - own.get(label, 0.0)) * doubt
        voted = [
            (WEIGHTS.alike, votes((weight, said[other]) for other, weight in alike.get(pin, ()) if other in said)),
            (WEIGHTS.mates, votes((weight, said[other]) for other, weight in mates.get(pin, ()) if other in said)),
        ]
        found[pin] = annotate(own, voted)
        rows.append(_annotated(_row(one.pin, Stage.SEEN, _beside(text, found[pin])), found[pin]))
    if rows:
        await engine.events.insert("pin_annotations", columns(rows))
        engine.state.take_words(columns(rows))
    return found


@cache
def taxonomy() -> Taxonomy:
    """The shipped tree of interests."""
    return Taxonomy(tomllib.loads(TAXONOMY.read_text()))


def columns(rows: Sequence[Row]) -> dict[str, list[object]]:
    """Rows as the table takes them; empty for none."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _text(pin: AcceptedPin) -> Text:
    return Text([], []) if pin.deleted else pin_text(pin.title, pin.description, pin.link, pin.board_name)


def _beside(text: Text, annotations: Iterable[Annotation]) -> Text:
    """The words that a pin is found by although it does not say them."""
    own = set(text.words)
    sure = (each.phrase for each in annotations if each.confidence >= LEAST_SEEN)
    return seen_text(phrase for phrase in sure if not own.issuperset(words(phrase)))


def _row(pin: AcceptedPin, stage: Stage, text: Text) -> Row:
    return {
        "pin": pin.pin, "stage": int(stage), "version": pin.version, "words": text.ids,
        "fields": text.fields, "phrases": [], "confidences": [], "interests": [], "interest_scores": [],
    }  # fmt: skip


def _annotated(row: Row, annotations: Sequence[Annotation]) -> Row:
    row["phrases"] = [each.phrase for each in annotations]
    row["confidences"] = [each.confidence for each in annotations]
    found = taxonomy().interests(annotations)
    row["interests"] = [each.node for each in found]
    row["interest_scores"] = [each.confidence for each in found]
    return row


async def _alike(engine: Engine, seen: Sequence[Understanding]) -> dict[int, list[tuple[int, float]]]:
    """Pin → pins that look like it, with how much each one's word counts."""
    vectors = {one.pin.pin: one.vector for one in seen if one.vector is not None}
    if not vectors:
        return {}
    near = await engine.vectors.search("pins", np.array(list(vectors.values()), np.float32), ALIKE + 1)
    weights = closeness(near.scores)
    return {
        pin: [(other, weight) for other, weight in zip(*pair, strict=True) if other not in (0, pin)][:ALIKE]
        for pin, *pair in zip(vectors, near.ids.tolist(), weights.tolist(), strict=True)
    }


def _mates(engine: Engine, seen: Sequence[Understanding]) -> dict[int, list[tuple[int, float]]]:
    """Pin → pins of its boards, with how much each one's word counts: the best counts 1."""
    found: dict[int, list[tuple[int, float]]] = {}
    for one in seen:
        near = engine.state.board_graph.related(np.array([one.pin.pin], np.int64), np.ones(1), MATES)
        if len(near.pins):
            found[one.pin.pin] = list(zip(near.pins.tolist(), (near.scores / near.scores[0]).tolist(), strict=True))
    return found


async def _said(engine: Engine, pins: Iterable[int]) -> dict[int, Said]:
    """What the texts of living pins say for themselves."""
    asked = np.array(sorted(pins), np.int64)
    asked = asked[~engine.state.catalogue.is_deleted(asked)]
    if not len(asked):
        return {}
    rows = await engine.events.query(
        "SELECT pin, phrases, confidences FROM pin_annotations FINAL"
        f" WHERE pin IN ({', '.join(map(str, asked.tolist()))}) AND stage = {Stage.OWN}"
    )
    if not rows:
        return {}
    return {
        pin: dict(zip(phrases.tolist(), confidences.tolist(), strict=True))
        for pin, phrases, confidences in zip(rows["pin"].tolist(), rows["phrases"], rows["confidences"], strict=True)
    }
