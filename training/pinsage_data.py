"""Problems for ``training/pinsage.py``, made in the engine's environment, whose live graph it walks.

    python -m training.pinsage_data saves  DATA/saves --out saves.npz [--seed N]
    python -m training.pinsage_data rooms  DATA/rooms --vectors rooms-vectors.npz --out rooms.npz [--seed N]
    python -m training.pinsage_data sample examples/sample --vectors sample-vectors.npz --out sample.npz

``--vectors`` is what ``training.pinsage_pictures`` wrote; without it texts alone are known. Rooms and saves are for
evaluation alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from operators.annotations.pin_words import PinWords
from operators.annotations.word_vectors import word_vectors
from operators.annotations.words import Text, pin_text
from operators.graph.live import LiveGraph
from operators.graph.neighbourhood import SIZE, WALK, hard_negatives, neighbourhoods
from operators.graph.pixie import Walking
from streams.traffic.lines import decode_line, open_to_read
from training.pinsage_problem import Problem

#: Hard negatives that are kept for a pin.
HARD = 32
#: Views of the rooms, in each of which another half of every room is hidden.
VIEWS = 6
#: Shares of rooms, and of the sample's time, that teach and that choose; the rest is for test.
TEACH, CHOOSE = 0.6, 0.75
SAMPLE_VIEWS, SAMPLE_TEACH, SAMPLE_CHOOSE = (0.2, 0.3, 0.4, 0.5, 0.6), 0.7, 0.8
#: Shares of each pinner's saves that the stand-in for pictures is made of, and beside it the graph; the rest teaches.
IN_VECTORS, IN_GRAPH = 0.5, 0.75
DIMENSIONS = 64
#: Pairs that are drawn of the real saves, for each purpose.
TAUGHT, ASKED = 200_000, 10_000
#: Length of the vectors of pictures that were not looked at.
UNSEEN = 256
LONG = Walking(steps=50_000, restart=0.5)


class Side(NamedTuple):
    """A view: edges ``(e, 2)`` of pin row and board, and pairs ``(p, 2)`` of query and positive."""

    edges: np.ndarray
    pairs: np.ndarray


def problem(
    visual: np.ndarray, text: np.ndarray, sides: Sequence[Side], band: tuple[int, int], seed: int, size: int = SIZE
) -> Problem:
    """Walk the graph of each side. The last two are validation and test."""
    n = len(visual)
    degrees = np.zeros((len(sides), n), np.float32)
    rows = np.zeros((len(sides), n, size), np.int32)
    weights = np.zeros((len(sides), n, size), np.float32)
    hard = np.full((len(sides) - 2, n, HARD), -1, np.int32)
    walks = np.zeros(len(sides[-1].pairs), np.int64)
    seen = np.zeros(n, bool)
    for at, side in enumerate(sides):
        graph = LiveGraph()
        graph.add(side.edges[:, 0] + 1, side.edges[:, 1] + 1)
        graph.compact()
        degrees[at] = np.bincount(np.unique(side.edges, axis=0)[:, 0], minlength=n)
        found = neighbourhoods(graph, np.arange(1, n + 1), seed, size, WALK)
        rows[at], weights[at] = found.pins - 1, found.weights
        print(f"graph {at + 1} of {len(sides)}: {len(graph)} edges", file=sys.stderr, flush=True)
        if at < len(sides) - 2:
            seen |= degrees[at] > 0
            random = np.random.default_rng(seed)
            for pin in range(n):
                some = hard_negatives(graph, pin + 1, seed, band)
                some = some if len(some) <= HARD else random.choice(some, HARD, replace=False)
                hard[at, pin, : len(some)] = some - 1
        if at == len(sides) - 1:
            walks = _walked(graph, side.pairs, n, seed)
    taught = [np.column_stack([np.full(len(side.pairs), at), side.pairs]) for at, side in enumerate(sides[:-2])]
    pairs = np.concatenate(taught).astype(np.int32)
    test = sides[-1].pairs.astype(np.int32)
    return Problem(
        visual, text, degrees, rows, weights, hard, pairs, sides[-2].pairs.astype(np.int32), test, ~seen, walks
    )


def rooms(folder: Path, vectors: Path | None, seed: int) -> Problem:
    """Rooms are boards. A pair is a product that stands there and one that does too, but nobody has said so."""
    read = json.loads((folder / "rooms.json").read_text())
    row = {product["id"]: at for at, product in enumerate(read["products"])}
    visual = _vectors([folder / "products" / product["id"] for product in read["products"]], vectors)
    text = words_of([pin_text(product["title"], product["description"]) for product in read["products"]])
    random = np.random.default_rng(seed)
    boards = [np.array([row[name] for name in room["products"]]) for room in read["rooms"]]
    order = random.permutation(len(boards))
    first, last = int(TEACH * len(order)), int(CHOOSE * len(order))
    teach, choose, ask = order[:first], order[first:last], order[last:]
    sides = [_halves(boards, [], teach, random) for _ in range(VIEWS)]
    # Every room is halved always: else whoever stands nowhere would be known to be an answer.
    sides += [_halves(boards, teach, choose, random), _halves(boards, [*teach, *choose], ask, random)]
    return problem(visual, text, sides, (10, 100), seed)


def saves(folder: Path, seed: int) -> Problem:
    """Real saves without pictures: directions of most variance of half of the training pairs stand in for them."""
    random = np.random.default_rng(seed)
    vector_edges, graph_edges, taught, chosen = list[np.ndarray](), list[np.ndarray](), [], []
    known_of, asked = _lines(folder / "train.txt"), _lines(folder / "test.txt")
    tested = []
    for user, items in known_of.items():
        mixed = random.permutation(items)
        cuts = int(IN_VECTORS * len(mixed)), int(IN_GRAPH * len(mixed))
        known, hidden = mixed[: cuts[1]], mixed[cuts[1] :]
        vector_edges.append(np.column_stack([mixed[: cuts[0]], np.full(cuts[0], user)]))
        graph_edges.append(np.column_stack([known, np.full(len(known), user)]))
        if len(known):
            (chosen if random.random() < 0.1 else taught).append(_drawn(known, hidden, random))
            tested.append(_drawn(known, asked.get(user, hidden[:0]), random))
    edges = np.concatenate(graph_edges)
    half = np.concatenate(vector_edges)
    pins = 1 + max(int(items.max()) for part in (known_of, asked) for items in part.values())
    visual = _directions(half, pins, seed)
    parts = [np.concatenate(each) for each in (taught, chosen, tested)]
    teach, choose, ask = (
        part[random.permutation(len(part))[:most]] for part, most in zip(parts, (TAUGHT, ASKED, ASKED), strict=True)
    )
    sides = [Side(edges, teach), Side(edges, choose), Side(edges, ask)]
    return problem(visual, np.zeros((pins, 0), np.float32), sides, (200, 2_000), seed, size=20)


def sample(folder: Path, vectors: Path | None) -> Problem:
    """The shipped sample: CC0 photos, **simulated** traffic. A pair is a save and the next onto the same board."""
    events = [event for name in ("pins", "traffic") for event in _events(folder / f"{name}.jsonl.zst")]
    created = {event["pin"]: event for topic, event in events if topic == "pins"}
    row = {pin: at for at, pin in enumerate(created)}
    visual = _vectors([folder / "photos" / Path(event["image"]).name for event in created.values()], vectors)
    text = words_of(
        [pin_text(event["title"], event["description"], event["link"], event["board"]) for event in created.values()]
    )
    put = [(event["time"], row[event["pin"]], event["pinner"], event["board"]) for topic, event in events
           if topic in ("pins", "saves")]  # fmt: skip
    put.sort(key=lambda each: each[0])
    ids = {name: at for at, name in enumerate(dict.fromkeys((pinner, board) for _, _, pinner, board in put))}
    last: dict[int, int] = {}
    followed = list[tuple[int, int, int]]()
    for time, pin, pinner, board in put:
        board = ids[pinner, board]
        if board in last and last[board] != pin:
            followed.append((time, last[board], pin))
        last[board] = pin
    edges = np.array([(pin, ids[pinner, board]) for _, pin, pinner, board in put])
    times = np.array([time for time, *_ in put])
    when, pairs = np.array([time for time, *_ in followed]), np.array([pair for _, *pair in followed])
    saved = np.sort([event["time"] for topic, event in events if topic == "saves"])
    cuts = [saved[int(share * len(saved))] for share in (*SAMPLE_VIEWS, SAMPLE_TEACH, SAMPLE_CHOOSE)] + [saved[-1] + 1]
    sides = [Side(edges[times < begin], pairs[(when >= begin) & (when < end)]) for begin, end in pairwise(cuts)]
    return problem(visual, text, sides, (20, 100), 0)


def words_of(texts: Sequence[Text]) -> np.ndarray:
    """``(n, WIDTH)``: each text as a vector."""
    numbers = [np.array(text.ids, np.int64) for text in texts]
    return word_vectors(
        PinWords(
            np.arange(1, len(texts) + 1),
            np.cumsum([len(each) for each in numbers]),
            np.concatenate(numbers),
            np.concatenate([np.array(text.fields, np.uint8) for text in texts]),
        )
    )


def _halves(
    boards: Sequence[np.ndarray], others: Sequence[int], asked: Sequence[int], random: np.random.Generator
) -> Side:
    edges, pairs = list[np.ndarray](), list[np.ndarray]()
    for board in (*others, *asked):
        known, hidden = np.array_split(random.permutation(boards[board]), 2)
        edges.append(np.column_stack([known, np.full(len(known), board)]))
        pairs.append(np.stack(np.meshgrid(known, hidden), -1).reshape(-1, 2))
    pairs = pairs[len(others) :]
    return Side(np.concatenate(edges), np.concatenate(pairs))


def _drawn(known: np.ndarray, wanted: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.column_stack([random.choice(known, len(wanted)), wanted])


def _directions(edges: np.ndarray, pins: int, seed: int) -> np.ndarray:
    counts = csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (pins, int(edges[:, 1].max()) + 1))
    # Popular pins and pinners who save much would be all that the first directions tell.
    by_pin, by_pinner = (np.maximum(counts.sum(axis=axis).A1, 1) for axis in (1, 0))  # type: ignore[attr-defined]
    scaled = counts.multiply(by_pin[:, None] ** -0.5).multiply(by_pinner[None] ** -0.5).tocsr()
    left, strengths, _ = svds(scaled, DIMENSIONS, random_state=seed)
    vectors = (left * strengths).astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _walked(graph: LiveGraph, pairs: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Places of the positives in the order of a walk; those that it does not reach share the places behind it."""
    places = np.zeros(len(pairs), np.int64)
    by_query: dict[int, list[int]] = defaultdict(list)
    for at, query in enumerate(pairs[:, 0].tolist()):
        by_query[query].append(at)
    for query, asked in by_query.items():
        order = graph.walk(np.array([query + 1]), np.ones(1), n, seed, LONG).pins - 1
        place = {pin: at for at, pin in enumerate(order.tolist())}
        for at in asked:
            places[at] = place.get(int(pairs[at, 1]), (len(order) + n - 1) // 2)
    return places


def _vectors(pictures: Sequence[Path], path: Path | None) -> np.ndarray:
    if path is None:
        return np.zeros((len(pictures), UNSEEN), np.float32)
    with np.load(path) as stored:
        found = {
            Path(name).name: vector for name, vector in zip(stored["pictures"].tolist(), stored["vectors"], strict=True)
        }
    missing = [picture.name for picture in pictures if picture.name not in found]
    if missing:
        sys.exit(f"{path} has no vector of {missing[0]} and {len(missing) - 1} others: run training.pinsage_pictures")
    return np.array([found[picture.name] for picture in pictures], np.float32)


def _events(path: Path) -> list[tuple[str, dict]]:  # type: ignore[type-arg]
    with open_to_read(str(path)) as file:
        lines = [decode_line(text) for text in file]
    return [(line.topic, line.event) for line in lines]


def _lines(path: Path) -> dict[int, np.ndarray]:
    rows = (np.array(line.split(), np.int64) for line in path.read_text().splitlines())
    return {int(row[0]): row[1:] for row in rows if len(row) > 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("saves", "rooms", "sample"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vectors", type=Path, help="of the pictures; without them texts alone are known")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the walks")
    given = parser.parse_args()
    if given.kind == "saves":
        made = saves(given.folder, given.seed)
    elif given.kind == "rooms":
        made = rooms(given.folder, given.vectors, given.seed)
    else:
        made = sample(given.folder, given.vectors)
    made.save(given.out)
    print(
        f"{len(made.visual)} pins, {len(made.pairs)} pairs teach, {len(made.validation)} choose, {len(made.test)} test"
    )


if __name__ == "__main__":
    main()
