"""Annotations, interests and text search on real products (rooms.json), whose types are known.

Every title is a name and the type ("EKTORP Armchair"), so with the title the question is only which of its words are a
phrase; with the type taken off the title, others must say it: the description, and pins that look alike. Figures are of
the half that no constant was chosen on. docs/annotations.md has the tables.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from operators.annotations.confidence import Annotation, annotate, closeness, said_by_texts, votes
from operators.annotations.pin_texts import PinTexts
from operators.annotations.pin_words import PinWords
from operators.annotations.spans import WEIGHTS
from operators.annotations.words import Text, seen_text, word_id
from streams.annotating import ALIKE, LEAST_SEEN, taxonomy
from streams.settings import Settings
from tests.quality.room_products import RoomProducts, dictionary_of

pytestmark = pytest.mark.data
AT = 3
#: Products of a type, for it to be a query.
LEAST_OF_TYPE = 3

FULL = os.environ.get("PINSTREAM_FULL") == "1"
#: Without PINSTREAM_FULL pictures are looked at of types that so many products have: 148 products of 5 types.
OFTEN = 1 if FULL else 20

Said = Sequence[Mapping[str, float]]


@pytest.fixture(scope="module")
def rooms(shared_data: Path) -> RoomProducts:
    return RoomProducts(shared_data)


@pytest.fixture(scope="module")
def seen_rooms(shared_data: Path, triton: Settings) -> tuple[RoomProducts, np.ndarray]:
    """Products with vectors of their pictures."""
    rooms = RoomProducts(shared_data, OFTEN)
    return rooms, asyncio.run(rooms.vectors(triton))


def hits(rooms: RoomProducts, found: Mapping[int, Sequence[Annotation]]) -> dict[str, float]:
    """Share of products with the right type first, and among the first three; the latter also of types that recur."""
    counted = Counter(rooms.key)
    first = [any(each.phrase in rooms.right[at] for each in said[:1]) for at, said in found.items()]
    three = {at: any(each.phrase in rooms.right[at] for each in said[:AT]) for at, said in found.items()}
    recurring = [right for at, right in three.items() if counted[rooms.key[at]] > 1]
    named = [bool(said) for said in found.values()]
    shares = {"@1": first, f"@{AT}": list(three.values()), f"@{AT} recurring": recurring, "coverage": named}
    return {name: round(float(np.mean(values)), 3) for name, values in shares.items()}


def test_the_right_type_is_among_the_first_annotations(rooms: RoomProducts) -> None:
    texts = {
        "title": rooms.texts(hidden=False, description=False),
        "title, description": rooms.texts(hidden=False),
        "name, description": rooms.texts(hidden=True),
    }
    dictionary = dictionary_of(texts["title, description"])
    figures = {
        name: hits(rooms, {at: annotate(said[at]) for at in rooms.test.tolist()})
        for name, said in ((name, said_by_texts(some, dictionary)) for name, some in texts.items())
    }
    print(f"\nright type among annotations: {json.dumps(figures)}")
    for name in ("title", "title, description"):
        assert figures[name][f"@{AT}"] >= 0.60 and figures[name][f"@{AT} recurring"] >= 0.78, figures
        assert figures[name]["coverage"] >= 0.97, figures
    assert figures["name, description"][f"@{AT}"] < 0.1, "the type is not hidden"


@pytest.mark.real
def test_what_looks_alike_names_what_the_text_does_not(seen_rooms: tuple[RoomProducts, np.ndarray]) -> None:
    rooms, vectors = seen_rooms
    whole = rooms.texts(hidden=False)
    dictionary = dictionary_of(whole)
    said = [dict(annotate(own)) for own in said_by_texts(whole, dictionary)]
    figures = {}
    names = {"name": rooms.texts(hidden=True, description=False), "name, description": rooms.texts(hidden=True)}
    for name, texts in (names | {"title, description": whole}).items():
        of_all = said_by_texts(texts, dictionary)
        own = {at: of_all[at] for at in rooms.test.tolist()}
        alike = {at: (WEIGHTS.alike, voted(vectors, at, said)) for at in own}
        mates = {at: (WEIGHTS.mates, votes((1.0, said[other]) for other in rooms.mates.get(at, [])[:10])) for at in own}
        figures[name] = {
            "alone": hits(rooms, {at: annotate(each) for at, each in own.items()}),
            "alike": hits(rooms, {at: annotate(each, [alike[at]]) for at, each in own.items()}),
            "alike, mates": hits(rooms, {at: annotate(each, [alike[at], mates[at]]) for at, each in own.items()}),
        }
    print(f"\nright type with neighbours: {json.dumps(figures)}")
    assert figures["name"]["alike"][f"@{AT}"] >= 0.35 > 0.05 > figures["name"]["alone"][f"@{AT}"], figures
    assert figures["title, description"]["alike"][f"@{AT}"] >= figures["title, description"]["alone"][f"@{AT}"] - 0.01


def test_interests_level_by_level(rooms: RoomProducts) -> None:
    """Right is the way to the node that the type itself belongs to; types that the tree does not know are left out."""
    tree = taxonomy()
    texts = rooms.texts(hidden=False)
    said = said_by_texts(texts, dictionary_of(texts))
    rows: dict[int, list[tuple[int, int, int]]] = {}
    known = 0
    for at in rooms.test.tolist():
        truth = {each.node for each in tree.interests([Annotation(rooms.key[at], 1.0)])}
        if not truth:
            continue
        known += 1
        found = {each.node for each in tree.interests(annotate(said[at])[:AT])}
        for level in range(1, 5):
            right, given = ({node for node in nodes if node.count("/") == level - 1} for nodes in (truth, found))
            rows.setdefault(level, []).append((len(right & given), len(given), len(right)))
    figures = {}
    for level, counted in rows.items():
        both, given, right = np.sum(counted, axis=0).tolist()
        figures[level] = {"precision": round(both / given, 3), "recall": round(both / right, 3), "nodes": right}
    print(f"\ninterests, {known} of {len(rooms.test)} products: {json.dumps(figures)}")
    assert known >= 0.8 * len(rooms.test)
    assert figures[1]["precision"] >= 0.8 and figures[1]["recall"] >= 0.9, figures
    assert figures[3]["recall"] >= 0.6, figures


def queries(rooms: RoomProducts) -> list[str]:
    """Types that the constants of the index were not chosen on."""
    counted = Counter(rooms.key)
    types = sorted(key for key, n in counted.items() if n >= LEAST_OF_TYPE)
    order = np.random.default_rng(0).permutation(len(types))
    return [types[at] for at in order[len(types) // 2 :]]


def test_text_search_finds_products_by_type(rooms: RoomProducts) -> None:
    figures = {}
    for name, texts in (("title", rooms.texts(hidden=False)), ("type hidden", rooms.texts(hidden=True))):
        index = indexed(texts)
        figures[name] = {
            "word match": searched(rooms, lambda query, texts=texts: word_match(texts, query)),
            "index": searched(rooms, lambda query, index=index: found(index, query)),
        }
    print(f"\ntext search, {len(queries(rooms))} types: {json.dumps(figures)}")
    assert figures["title"]["index"]["R@10"] >= figures["title"]["word match"]["R@10"] + 0.05, figures
    for each in figures.values():
        assert each["index"]["R@10"] >= each["word match"]["R@10"], figures
        assert each["index"]["P@10"] >= each["word match"]["P@10"], figures


@pytest.mark.real
def test_text_search_finds_what_only_neighbours_name(seen_rooms: tuple[RoomProducts, np.ndarray]) -> None:
    """The products of one half have lost their type; those of the other half keep theirs, and may name them."""
    rooms, vectors = seen_rooms
    hidden = set(rooms.test.tolist())
    bare, whole = rooms.texts(hidden=True), rooms.texts(hidden=False)
    texts = [bare[at] if at in hidden else whole[at] for at in range(len(whole))]
    own = said_by_texts(texts, dictionary_of(texts))
    said = [dict(annotate(each)) for each in own]
    seen = PinTexts()
    seen.load(pin_words(texts))
    beside: list[Text] = []
    for at in range(len(texts)):
        sure = annotate(own[at], [(WEIGHTS.alike, voted(vectors, at, said))])
        beside.append(
            seen_text(each.phrase for each in sure if each.confidence >= LEAST_SEEN and each.phrase not in own[at])
        )
    seen.put_seen(pin_words(beside))
    figures = {
        name: searched(
            rooms, lambda query, index=index: [at for at in found(index, query, 2000) if at in hidden], hidden
        )
        for name, index in (("text alone", indexed(texts)), ("with neighbours", seen))
    }
    print(f"\ntext search for products without their type: {json.dumps(figures)}")
    assert figures["with neighbours"]["R@10"] >= figures["text alone"]["R@10"] + 0.1, figures


def voted(vectors: np.ndarray, at: int, said: Said) -> dict[str, float]:
    cosines = vectors @ vectors[at]
    cosines[at] = -1.0
    near = np.argsort(-cosines, kind="stable")[:ALIKE]
    return votes((float(weight), said[other]) for weight, other in zip(closeness(cosines[near]), near, strict=True))


def indexed(texts: Sequence[Text]) -> PinTexts:
    index = PinTexts()
    index.load(pin_words(texts))
    return index


def pin_words(texts: Sequence[Text]) -> PinWords:
    ends = np.cumsum([len(text.words) for text in texts])
    ids = np.array([each for text in texts for each in text.ids])
    return PinWords(
        np.arange(len(texts)), ends, ids, np.array([each for text in texts for each in text.fields], np.uint8)
    )


def found(index: PinTexts, query: str, k: int = 10) -> list[int]:
    return index.index.search([(np.array([word_id(word) for word in query.split()]), 1.0)], k).pins.tolist()


def word_match(texts: Sequence[Text], query: str) -> list[int]:
    """Products by how many words of the query they have, equal ones by number."""
    asked = set(query.split())
    shared = [len(asked.intersection(text.words)) for text in texts]
    return sorted((at for at, n in enumerate(shared) if n), key=lambda at: (-shared[at], at))


def searched(rooms: RoomProducts, search, among: set[int] | None = None) -> dict[str, float]:
    shares: list[tuple[float, float]] = []
    for query in queries(rooms):
        right = {at for at, key in enumerate(rooms.key) if key == query and (among is None or at in among)}
        if right:
            both = len(right.intersection(search(query)[:10]))
            shares.append((both / 10, both / min(10, len(right))))
    precision, recall = np.mean(shares, axis=0).tolist()
    return {"P@10": round(precision, 3), "R@10": round(recall, 3)}
