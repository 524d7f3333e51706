"""Worlds with hidden saves: a hot state to build slates from, and what each pinner saves that it was not told."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from operators.batch import Engagement, Source
from operators.events import Kind, PinEvent
from operators.identity import stable_id
from operators.slate.choices import Choices
from streams.settings import PROJECT, Settings
from streams.state import HotState
from streams.traffic.lines import Line, decode_line, open_to_read
from training.exact_vectors import ExactVectors
from training.ranker_rows import Replay
from training.ranker_vectors import images_of, vectors_of

SAMPLE = PROJECT / "examples" / "sample"
NOW = 1_750_000_000_000
#: Share of the sample's events that is known; what pinners save in the rest is hidden.
KNOWN_SHARE = 0.8
HIDDEN_SHARE = 0.5
NOTHING = ExactVectors(np.empty(0, np.int64), np.empty((0, 0), np.float32))


class World(NamedTuple):
    """``truth``: pinner → pins that they saved and the state does not know of."""

    name: str
    state: HotState
    vectors: ExactVectors
    truth: dict[int, set[int]]
    now: int


async def sample(settings: Settings) -> World:
    """The shipped sample: real photos, **simulated** traffic. The last fifth of the time is hidden."""
    lines = [line for name in ("pins", "pinners", "traffic") for line in _read(SAMPLE / f"{name}.jsonl.zst")]
    times = sorted(line.event["time"] for line in lines if line.topic == "saves")
    cut = times[int(len(times) * KNOWN_SHARE)]
    images = images_of([str(SAMPLE / "pins.jsonl.zst")])
    vectors = ExactVectors(np.array(list(images), np.int64), await vectors_of(images, settings))
    state = _state(line for line in lines if line.event["time"] < cut)
    truth: dict[int, set[int]] = defaultdict(set)
    for line in lines:
        if line.topic == "saves" and line.event["time"] >= cut:
            truth[stable_id(line.event["pinner"])].add(stable_id(line.event["pin"]))
    return World("sample (simulated traffic)", state, vectors, _unknown(state, truth), cut)


async def rooms(settings: Settings, folder: Path) -> World:
    """Real rooms: a room is a pinner and their board, its products are their saves; half of them hidden (seed 0)."""
    read = json.loads((folder / "rooms.json").read_text())
    pins = {f"room-product:{row['id']}": row for row in read["products"]}
    images = {stable_id(name): folder.parent / row["image"] for name, row in pins.items()}
    vectors = ExactVectors(np.array(list(images), np.int64), await vectors_of(images, settings))
    draw = random.Random(0)
    lines = [
        Line("pins", name, {"type": "created", "pin": name, "pinner": 1, "time": NOW - 1000, "title": row["title"]})
        for name, row in pins.items()
    ]
    truth: dict[int, set[int]] = defaultdict(set)
    for number, room in enumerate(read["rooms"]):
        pinner = 100 + number
        for place, name in enumerate(room["products"]):
            pin = f"room-product:{name}"
            if place and draw.random() < HIDDEN_SHARE:
                truth[pinner].add(stable_id(pin))
            else:
                event = {"pinner": pinner, "pin": pin, "board": f"room-{number}", "time": NOW}
                lines.append(Line("saves", pinner, event))
    state = _state(lines)
    return World("rooms (real)", state, vectors, _unknown(state, truth), NOW)


def saves(folder: Path, asked: int) -> World:
    """Real board saves without pictures; the test pairs of ``asked`` pinners (seed 0) are hidden."""
    known, hidden = _pairs(folder / "train.txt"), _pairs(folder / "test.txt")
    count = int(max(known[:, 1].max(), hidden[:, 1].max())) + 1
    state = HotState()
    state.apply_pins([(row, PinEvent(type="created", pin=row + 1, pinner=1, time=NOW - 1000)) for row in range(count)])
    zero = np.zeros(len(known), np.int64)
    batch = Engagement(
        source=Source("saves", 0, 0, len(known)), offset=zero, logged=zero, time=zero + NOW,
        event_id=np.arange(1, len(known) + 1), kind=np.full(len(known), Kind.SAVE, np.uint8), pinner=known[:, 0] + 100,
        pin=known[:, 1] + 1, board=known[:, 0] + 100, slate=zero, position=np.full(len(known), -1, np.int16),
        surface=np.ones(len(known), np.uint8), owner=zero, domain=zero, is_follower=np.zeros(len(known), np.uint8),
    )  # fmt: skip
    state.apply(state.catalogue.enrich(batch, state.follows))
    chosen = np.random.default_rng(0).choice(np.unique(hidden[:, 0]), asked, replace=False)
    truth = {int(pinner) + 100: set((hidden[hidden[:, 0] == pinner, 1] + 1).tolist()) for pinner in chosen}
    return World("saves (real, no pictures)", state, NOTHING, truth, NOW)


def _read(path: Path) -> list[Line]:
    with open_to_read(str(path)) as file:
        return [decode_line(text) for text in file]


def _state(lines: Iterable[Line]) -> HotState:
    replay = Replay(NOTHING, Choices())
    for line in lines:
        replay.add(line)
    replay.flush()
    return replay.state


def _unknown(state: HotState, truth: dict[int, set[int]]) -> dict[int, set[int]]:
    """Without what a pinner has saved or hidden before, which no slate may show; and without pinners who keep none."""
    left: dict[int, set[int]] = {}
    for pinner, pins in truth.items():
        wanted = np.array(sorted(pins), np.int64)
        gone = state.recent.has_saved(pinner, wanted) | np.isin(wanted, state.recent.hidden(pinner))
        if not gone.all():
            left[pinner] = set(wanted[~gone].tolist())
    return left


def _pairs(path: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    pairs: list[tuple[int, int]] = []
    for line in path.read_text().splitlines():
        user, *items = map(int, line.split())
        pairs += [(user, item) for item in items]
    return np.array(pairs, np.int64)
