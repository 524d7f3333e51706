"""Annotations, interests and text search on real products (rooms.json), whose types are known.

Every title is a name and the type ("EKTORP Armchair"), so with the title the question is only which of its words are a
phrase; with the type taken off the title, others must say it: the description, and pins that look alike. Constants were
chosen on one half of the products (``room_products.py``); figures are of the other. docs/annotations.md has the tables.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bench.quality.figure import Figure, Given
from bench.quality.room_products import RoomProducts, dictionary_of
from operators.annotations.confidence import Annotation, annotate, closeness, said_by_texts, votes
from operators.annotations.pin_texts import PinTexts
from operators.annotations.pin_words import PinWords
from operators.annotations.spans import WEIGHTS
from operators.annotations.words import Text, seen_text, word_id
from streams.annotating import ALIKE, LEAST_SEEN, taxonomy

AT = 3
#: Products of a type, for it to be a query.
LEAST_OF_TYPE = 3
#: Of types that so many products have pictures are looked at, where all would take long: 148 products of 5 types.
OFTEN = 20

Said = Sequence[Mapping[str, float]]
Shares = dict[str, float]


def by_texts(rooms: RoomProducts) -> dict[str, Shares]:
    """Texts → how often the right type is among the annotations that these texts alone give."""
    texts = {
        "title": rooms.texts(hidden=False, description=False),
        "title, description": rooms.texts(hidden=False),
        "name, description": rooms.texts(hidden=True),
    }
    dictionary = dictionary_of(texts["title, description"])
    said_by = {name: said_by_texts(some, dictionary) for name, some in texts.items()}
    return {
        name: _hits(rooms, {at: annotate(said[at]) for at in rooms.test.tolist()}) for name, said in said_by.items()
    }


def with_neighbours(rooms: RoomProducts, vectors: np.ndarray) -> dict[str, dict[str, Shares]]:
    """Texts → who votes beside them → how often the right type is among the annotations. ``vectors`` ``(n, d)``."""
    whole = rooms.texts(hidden=False)
    dictionary = dictionary_of(whole)
    said = [dict(annotate(own)) for own in said_by_texts(whole, dictionary)]
    figures: dict[str, dict[str, Shares]] = {}
    names = {"name": rooms.texts(hidden=True, description=False), "name, description": rooms.texts(hidden=True)}
    for name, texts in (names | {"title, description": whole}).items():
        of_all = said_by_texts(texts, dictionary)
        own = {at: of_all[at] for at in rooms.test.tolist()}
        alike = {at: (WEIGHTS.alike, _voted(vectors, at, said)) for at in own}
        mates = {at: (WEIGHTS.mates, votes((1.0, said[other]) for other in rooms.mates.get(at, [])[:10])) for at in own}
        figures[name] = {
            "alone": _hits(rooms, {at: annotate(each) for at, each in own.items()}),
            "alike": _hits(rooms, {at: annotate(each, [alike[at]]) for at, each in own.items()}),
            "alike, mates": _hits(rooms, {at: annotate(each, [alike[at], mates[at]]) for at, each in own.items()}),
        }
    return figures


def interests(rooms: RoomProducts) -> tuple[dict[int, Shares], int]:
    """Level of the tree → precision, recall and how many nodes are right; and how many products the tree knows.

    Right is the way to the node that the type itself belongs to; types that the tree does not know are left out.
    """
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
    figures: dict[int, Shares] = {}
    for level, counted in rows.items():
        both, given, right = np.sum(counted, axis=0).tolist()
        figures[level] = {"precision": round(both / given, 3), "recall": round(both / right, 3), "nodes": right}
    return figures, known


def text_search(rooms: RoomProducts) -> dict[str, dict[str, Shares]]:
    """Texts → way of searching → P@10 and R@10 of products by their type."""
    figures: dict[str, dict[str, Shares]] = {}
    for name, texts in (("title", rooms.texts(hidden=False)), ("type hidden", rooms.texts(hidden=True))):
        index = _indexed(texts)
        figures[name] = {
            "word match": _searched(rooms, lambda query, texts=texts: _word_match(texts, query)),
            "index": _searched(rooms, lambda query, index=index: _found(index, query)),
        }
    return figures


def text_search_with_neighbours(rooms: RoomProducts, vectors: np.ndarray) -> dict[str, Shares]:
    """Way of searching → P@10 and R@10 of products that have lost their type; the other half keeps it and may tell."""
    hidden = set(rooms.test.tolist())
    bare, whole = rooms.texts(hidden=True), rooms.texts(hidden=False)
    texts = [bare[at] if at in hidden else whole[at] for at in range(len(whole))]
    own = said_by_texts(texts, dictionary_of(texts))
    said = [dict(annotate(each)) for each in own]
    seen = PinTexts()
    seen.load(_pin_words(texts))
    beside: list[Text] = []
    for at in range(len(texts)):
        sure = annotate(own[at], [(WEIGHTS.alike, _voted(vectors, at, said))])
        beside.append(
            seen_text(each.phrase for each in sure if each.confidence >= LEAST_SEEN and each.phrase not in own[at])
        )
    seen.put_seen(_pin_words(beside))
    return {
        name: _searched(
            rooms, lambda query, index=index: [at for at in _found(index, query, 2000) if at in hidden], hidden
        )
        for name, index in (("text alone", _indexed(texts)), ("with neighbours", seen))
    }


def queries(rooms: RoomProducts) -> list[str]:
    """Types that the constants of the index were not chosen on."""
    counted = Counter(rooms.key)
    types = sorted(key for key, n in counted.items() if n >= LEAST_OF_TYPE)
    order = np.random.default_rng(0).permutation(len(types))
    return [types[at] for at in order[len(types) // 2 :]]


def figures(given: Given) -> list[Figure]:
    """Annotations by text and with neighbours, interests by level, and text search, all on the test half."""
    folder = given.folder("rooms")
    rooms = RoomProducts(folder.parent)
    seen = RoomProducts(folder.parent, OFTEN) if given.quick else rooms
    vectors = asyncio.run(seen.vectors(given.triton))
    rows: list[Figure] = []

    def note(what: str, value: float, over: str, least: float | None = None) -> None:
        rows.append(Figure("annotations", what, "test", (value,), over, least))

    over, over_seen = f"{len(rooms.test)} products", f"{len(seen.test)} products with pictures"
    for texts, shares in by_texts(rooms).items():
        goals = {"@3": 0.60, "@3 recurring": 0.78, "coverage": 0.97} if "title" in texts else {}
        for measure, share in shares.items():
            note(f"right type {measure}, {texts}", share, over, goals.get(measure))
    for texts, ways in with_neighbours(seen, vectors).items():
        for way in ("alike", "alike, mates"):
            goal = 0.35 if (texts, way) == ("name", "alike") else None
            note(f"right type @{AT}, {texts}, voted by {way}", ways[way][f"@{AT}"], over_seen, goal)
    by_level, known = interests(rooms)
    for level, shares in by_level.items():
        goals = {1: {"precision": 0.8, "recall": 0.9}, 3: {"recall": 0.6}}.get(level, {})
        for measure in ("precision", "recall"):
            note(f"interests level {level}, {measure}", shares[measure], f"{known} products", goals.get(measure))
    for texts, ways in text_search(rooms).items():
        for way, shares in ways.items():
            goal = ways["word match"]["R@10"] + (0.05 if texts == "title" else 0.0) if way == "index" else None
            note(f"text search R@10, {texts}, {way}", shares["R@10"], f"{len(queries(rooms))} types", goal)
    found = text_search_with_neighbours(seen, vectors)
    goal = round(found["text alone"]["R@10"] + 0.1, 3)
    note("text search R@10, type hidden, text alone", found["text alone"]["R@10"], over_seen)
    note("text search R@10, type hidden, with neighbours", found["with neighbours"]["R@10"], over_seen, goal)
    return rows


def _hits(rooms: RoomProducts, found: Mapping[int, Sequence[Annotation]]) -> Shares:
    """Share of products with the right type first, and among the first three; the latter also of types that recur."""
    counted = Counter(rooms.key)
    first = [any(each.phrase in rooms.right[at] for each in said[:1]) for at, said in found.items()]
    three = {at: any(each.phrase in rooms.right[at] for each in said[:AT]) for at, said in found.items()}
    recurring = [right for at, right in three.items() if counted[rooms.key[at]] > 1]
    named = [bool(said) for said in found.values()]
    shares = {"@1": first, f"@{AT}": list(three.values()), f"@{AT} recurring": recurring, "coverage": named}
    return {name: round(float(np.mean(values)), 3) for name, values in shares.items()}


def _voted(vectors: np.ndarray, at: int, said: Said) -> dict[str, float]:
    cosines = vectors @ vectors[at]
    cosines[at] = -1.0
    near = np.argsort(-cosines, kind="stable")[:ALIKE]
    return votes((float(weight), said[other]) for weight, other in zip(closeness(cosines[near]), near, strict=True))


def _indexed(texts: Sequence[Text]) -> PinTexts:
    index = PinTexts()
    index.load(_pin_words(texts))
    return index


def _pin_words(texts: Sequence[Text]) -> PinWords:
    ends = np.cumsum([len(text.words) for text in texts])
    ids = np.array([each for text in texts for each in text.ids])
    return PinWords(
        np.arange(len(texts)), ends, ids, np.array([each for text in texts for each in text.fields], np.uint8)
    )


def _found(index: PinTexts, query: str, k: int = 10) -> list[int]:
    return index.index.search([(np.array([word_id(word) for word in query.split()]), 1.0)], k).pins.tolist()


def _word_match(texts: Sequence[Text], query: str) -> list[int]:
    """Products by how many words of the query they have, equal ones by number."""
    asked = set(query.split())
    shared = [len(asked.intersection(text.words)) for text in texts]
    return sorted((at for at, n in enumerate(shared) if n), key=lambda at: (-shared[at], at))


def _searched(rooms: RoomProducts, search: Callable[[str], list[int]], among: set[int] | None = None) -> Shares:
    shares: list[tuple[float, float]] = []
    for query in queries(rooms):
        right = {at for at, key in enumerate(rooms.key) if key == query and (among is None or at in among)}
        if right:
            both = len(right.intersection(search(query)[:10]))
            shares.append((both / 10, both / min(10, len(right))))
    precision, recall = np.mean(shares, axis=0).tolist()
    return {"P@10": round(precision, 3), "R@10": round(recall, 3)}
