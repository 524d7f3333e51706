"""Worlds in which the right answers of `related` are hidden: real saves, and real rooms with pictures and texts.

``saves``: a pinner's saves are one board and one session (in random order, as times are unknown). A question is one of
the pinner's known pins, its answers are the same pinner's hidden ones. ``validation`` hides a fifth of the training
pairs of some pinners, ``test`` are the test pairs. ``rooms``: a room is a board and a session, its products are the
pins; two fifths of the edges are hidden. Half of the rooms are for validation, half for test.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from operators.annotations.pin_words import PinWords
from operators.annotations.words import pin_text
from operators.id_index import Ints
from operators.pin2vec.waiting import Actions
from streams.metrics import Metrics
from streams.settings import PROJECT
from streams.state import HotState
from streams.vector_cache import VectorCache
from training.exact_vectors import ExactVectors

NOW = 1_750_000_000_000
EVER = 2**62
HIDDEN_OF_PINNER, HIDDEN_OF_ROOM = 0.2, 0.4
#: Pins of a room that must be known, so that there is something to ask with.
LEAST = 2


@dataclass(frozen=True)
class Question:
    """A pin, the pins that should be found, those that are not asked for, and whether the pin is a popular one."""

    pin: int
    wanted: Ints
    known: Ints
    head: bool


@dataclass
class World:
    """An engine whose memory knows what is not hidden."""

    name: str
    engine: Any
    questions: list[Question] = field(default_factory=list[Question])


def saves(folder: Path, split: str, seed: int, asked: int, pinners: int | None = None) -> World:
    """``asked`` questions of ``split``; ``pinners``: only so many of them, for a quick look."""
    known, hidden = _pairs(folder / "train.txt"), _pairs(folder / "test.txt")
    chance = np.random.default_rng([seed, split == "test"])
    if pinners:
        known = {name: known[name] for name in sorted(known)[:pinners]}
    able = np.array(sorted(name for name in known if name in hidden and len(known[name]) >= 8))
    chosen = chance.choice(able, min(asked, len(able)), replace=False).tolist()
    if split == "validation":
        parts = {name: chance.permutation(known[name]) for name in chosen}
        hidden = {name: pins[: max(1, int(len(pins) * HIDDEN_OF_PINNER))] for name, pins in parts.items()}
        known = known | {name: pins[len(hidden[name]) :] for name, pins in parts.items()}
    engine = _engine(np.empty(0, np.int64), np.empty((0, 0), np.float32))
    _fold(engine.state, {name: chance.permutation(known[name]) for name in chance.permutation(list(known)).tolist()})
    times = np.bincount(np.concatenate(list(known.values())))
    _post(engine.state, np.flatnonzero(times))
    world = World("saves", engine)
    for name in chosen:
        pin = int(chance.choice(known[name]))
        wanted = hidden[name][hidden[name] < len(times)]
        world.questions.append(Question(pin, wanted, known[name], False))
    middle = np.median([times[one.pin] for one in world.questions])
    world.questions = [Question(q.pin, q.wanted, q.known, bool(times[q.pin] >= middle)) for q in world.questions]
    return world


def rooms(folder: Path, weights: Path, split: str, seed: int) -> World:
    """Every product of the split's rooms whose edge is known. ``folder`` holds ``rooms.json``."""
    read = json.loads((folder / "rooms.json").read_text())
    products: list[dict[str, Any]] = read["products"]
    number = {row["id"]: at + 1 for at, row in enumerate(products)}
    chance = np.random.default_rng([seed, 7])
    known: dict[int, Ints] = {}
    hidden: dict[int, Ints] = {}
    for at, room in enumerate(read["rooms"], start=1):
        pins = chance.permutation(np.array([number[name] for name in room["products"] if name in number], np.int64))
        left = max(LEAST, len(pins) - int(len(pins) * HIDDEN_OF_ROOM))
        known[at], hidden[at] = pins[:left], pins[left:]
    engine = _engine(np.arange(1, len(products) + 1), pictures(folder.parent, products, weights))
    _post(engine.state, np.arange(1, len(products) + 1))
    _fold(engine.state, known)
    texts = [pin_text(row["title"], row["description"]) for row in products]
    engine.state.texts.load(
        PinWords(
            np.arange(1, len(products) + 1),
            np.cumsum([len(text.words) for text in texts]),
            np.array([word for text in texts for word in text.ids], np.int64),
            np.array([each for text in texts for each in text.fields], np.uint8),
        )
    )
    times = np.bincount(np.concatenate(list(known.values())), minlength=len(products) + 1)
    half = np.random.default_rng(0).permutation(len(known)) % 2 == (split == "test")
    world = World("rooms", engine)
    for at in (np.flatnonzero(half) + 1).tolist():
        for pin in known[at].tolist() if len(hidden[at]) else []:
            mates = np.unique(np.concatenate([known[room] for room in known if pin in known[room]]))
            wanted = np.setdiff1d(hidden[at], mates)
            if len(wanted):
                world.questions.append(Question(pin, wanted, mates, bool(times[pin] > 1)))
    return world


def pictures(data: Path, products: list[dict[str, Any]], weights: Path) -> np.ndarray:
    """``(n, d)`` of the products' pictures by the encoder that ships; computed once, by the models' Python."""
    kept = kept_pictures()
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        names = kept.with_suffix(".txt")
        names.write_text("\n".join(str(data / row["image"]) for row in products))
        python = PROJECT / ".venv-models" / "bin" / "python"
        command = [str(python), "-m", "training.picture_vectors", str(names), "--out", str(kept)]
        subprocess.run(command, cwd=PROJECT, env=os.environ | {"PINSTREAM_WEIGHTS": str(weights)}, check=True)
    return np.load(kept)


def kept_pictures() -> Path:
    """Where :func:`pictures` keeps what it computed."""
    return PROJECT / ".pinstream" / "training" / "related-rooms.npy"


def _engine(ids: Ints, vectors: np.ndarray) -> Any:
    store = ExactVectors(ids, vectors)
    return SimpleNamespace(
        settings=SimpleNamespace(unsafe_above=1.0), metrics=Metrics(), vectors=store, state=HotState(),
        vector_cache=VectorCache(store), encoders=None, pinsage=None,
    )  # fmt: skip


def _post(state: HotState, pins: Ints) -> None:
    nobody = np.zeros(len(pins), np.int64)
    state.catalogue.accept(pins, nobody + NOW, nobody > 0, nobody, owners=nobody, boards=nobody, domains=nobody)


def _fold(state: HotState, boards: dict[int, Ints]) -> None:
    """Each board's pins in their order: saves on it, and one session of its pinner."""
    pins = np.concatenate(list(boards.values()))
    names = np.repeat(np.array(list(boards), np.int64), [len(each) for each in boards.values()])
    state.board_graph.add(pins, names)
    state.board_graph.compact()
    at = NOW + np.arange(len(pins))
    events = np.random.default_rng(len(pins)).integers(1, 2**62, len(pins))
    state.pin2vec.add(Actions(at, events, names, pins, at))
    state.pin2vec.learn(EVER)


def _pairs(file: Path) -> dict[int, Ints]:
    rows = (np.array(line.split(), np.int64) + 1 for line in file.read_text().splitlines())
    return {int(row[0]): row[1:] for row in rows if len(row) > 1}
