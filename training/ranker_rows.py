"""Training rows of the ranker: every impression with what was known before it, and what came of it.

Events are replayed in time order through the same decoding, hot state, sources and spec as in serving. A slate's
features are made before its first impression is folded in, so nothing later can leak into them; its labels are
the actions on the same slate and pin, whenever they come.

    python -m training.ranker_rows EVENTS… --out rows.npz [--vectors vectors.npz] [--spec feed.linchpin] [--actions]
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import orjson

from operators.batch import Records, Source
from operators.decode import decode_engagement, decode_events
from operators.events import ENGAGEMENT_TOPICS, Kind, PinEvent, PinnerEvent, Surface
from operators.identity import stable_id
from operators.positions import examination
from operators.recent_actions import ACTIONS as LATEST
from operators.slate.candidates import Candidates, merge
from operators.slate.choices import Choices
from operators.slate.utility import ACTIONS
from streams.engine import Engine
from streams.slate_signals import ask_of, relevances, signals
from streams.slate_sources import SOURCES
from streams.slate_spec import SHIPPED, SlateSpec, load, shipped
from streams.state import HotState
from streams.traffic.lines import Line, decode_line, open_to_read
from streams.vector_cache import VectorCache
from training.exact_vectors import ExactVectors

#: How the name of an action in ``clicks`` maps to a column of the labels; a save has a topic of its own.
_LABEL = {"closeup": "closeup", "outbound": "outbound_click", "hide": "hide"}
_KINDS = {"save": Kind.SAVE, "closeup": Kind.CLOSEUP, "outbound_click": Kind.OUTBOUND_CLICK, "hide": Kind.HIDE}


@dataclass
class Shown:
    """One slate as it was shown: its impressions in time order."""

    time: int
    pinner: int
    pins: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    surfaces: list[int] = field(default_factory=list)


class Replay:
    """A hot state that events are folded into, and the popularity baseline beside it."""

    def __init__(self, vectors: ExactVectors, choices: Choices, spec: SlateSpec) -> None:
        self.state, self.choices, self.spec = HotState(), choices, spec
        self.cache = VectorCache(vectors)
        # Sources only look at these two parts of an engine.
        parts = {"state": self.state, "vectors": vectors, "vector_cache": self.cache, "pinsage": None}
        self.engine = cast(Engine, SimpleNamespace(**parts))
        self._waiting: dict[str, list[Line]] = defaultdict(list)
        self._offset = 0
        #: Pin → examined impressions and counts of each action so far; 0 stands for all pins together.
        self._counts: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(1 + len(ACTIONS)))

    def add(self, line: Line) -> None:
        """One more event, folded in by the next :meth:`flush`."""
        self._waiting[line.topic].append(line)

    def flush(self) -> None:
        """Fold in everything that was added: pins first, as engagement is enriched with them."""
        for topic in ("pins", "pinners", *ENGAGEMENT_TOPICS):
            lines = self._waiting.pop(topic, [])
            if not lines:
                continue
            offsets = np.arange(self._offset, self._offset + len(lines))
            self._offset += len(lines)
            source = Source(topic, 0, int(offsets[0]), int(offsets[-1]))
            times = np.array([line.event["time"] for line in lines], np.int64)
            records = Records.of(source, offsets, times, [orjson.dumps(line.event) for line in lines])
            if topic in ENGAGEMENT_TOPICS:
                engagement = self.state.catalogue.enrich(decode_engagement(records).good, self.state.follows)
                self._count(engagement)
                self.state.apply(engagement)
                continue
            events = [(offset, event) for offset, _, event in decode_events(records).good]
            if topic == "pins":
                self.state.apply_pins([(offset, event) for offset, event in events if isinstance(event, PinEvent)])
            else:
                for _, event in events:
                    if isinstance(event, PinnerEvent):
                        self.state.apply_pinner(event)

    async def rows(self, shown: Shown) -> tuple[np.ndarray, np.ndarray]:
        """Features ``(n, F)`` and baseline ``(n, 4)`` of a slate as of now, before it is folded in."""
        saved = self.state.recent.saved(shown.pinner).pins
        pins = np.array(shown.pins, np.int64)
        await self.cache.load(np.concatenate([saved, pins]))
        ask = ask_of(self.state, self.cache, shown.pinner, shown.time, self.choices)
        found = {name: (await source(self.engine, [ask]))[0] for name, source in SOURCES.items()}
        proposed = merge(found, 1 << 30)
        scores = np.full((len(pins), len(SOURCES)), np.nan, np.float32)
        row_of = {pin: row for row, pin in enumerate(proposed.pins.tolist())}
        for row, pin in enumerate(shown.pins):
            if pin in row_of:
                scores[row] = proposed.scores[row_of[pin]]
        known = signals(
            self.state,
            [ask],
            [Candidates(pins, scores)],
            self.state.catalogue.facts(pins),
            [relevances(ask, self.cache, pins)],
        )
        return self.spec.features(known), np.stack([self._rate(pin) for pin in shown.pins])

    def latest(self, pinner: int) -> dict[str, np.ndarray]:
        """The pinner's latest actions as of now, newest first, ``(1, ACTIONS)`` each; pin 0 where there are fewer."""
        found = self.state.recent.actions(pinner)
        columns = {"action_pin": found.pins, "action_kind": found.kinds, "action_time": found.times}
        return {name: np.pad(each.astype(np.int64), (0, LATEST - len(each)))[None] for name, each in columns.items()}

    def _count(self, engagement: Any) -> None:
        looked_at = examination(engagement.surface, engagement.position)
        for row, (pin, kind) in enumerate(zip(engagement.pin.tolist(), engagement.kind.tolist(), strict=True)):
            column = 0 if kind == Kind.IMPRESSION else 1 + [int(each) for each in _KINDS.values()].index(kind)
            amount = looked_at[row] if kind == Kind.IMPRESSION else 1.0
            self._counts[pin][column] += amount
            self._counts[0][column] += amount

    def _rate(self, pin: int, prior: float = 10.0) -> np.ndarray:
        """Popularity: the pin's own rate of each action per examined impression, shrunk to that of all pins."""
        everything, own = self._counts[0], self._counts.get(pin, np.zeros(1 + len(ACTIONS)))
        mean = (everything[1:] + 0.01) / (everything[0] + 1.0)
        return (own[1:] + prior * mean) / (own[0] + prior)


def slates_of(lines: Iterable[Line]) -> tuple[dict[int, Shown], set[tuple[int, int, str]]]:
    """Slate → what it showed, and every (slate, pin, action)."""
    shown: dict[int, Shown] = {}
    actions: set[tuple[int, int, str]] = set()
    for line in lines:
        event = line.event
        if line.topic not in ENGAGEMENT_TOPICS or event.get("slate") is None:
            continue
        slate, pin = stable_id(event["slate"]), stable_id(event["pin"])
        if line.topic == "impressions":
            each = shown.setdefault(slate, Shown(event["time"], stable_id(event["pinner"])))
            each.pins.append(pin)
            each.positions.append(event.get("position", -1))
            each.surfaces.append(Surface[event.get("surface", "home").upper()])
        else:
            actions.add((slate, pin, "save" if line.topic == "saves" else _LABEL[event["type"]]))
    return shown, actions


async def training_rows(
    lines: Sequence[Line],
    vectors: ExactVectors,
    choices: Choices | None = None,
    spec: SlateSpec | None = None,
    actions_too: bool = False,
) -> dict[str, np.ndarray]:
    """Columns with one entry an impression, in the order of slates: features, labels, baseline, examination, …

    With ``actions_too`` also the pinner's latest actions before each slate, ``(slates, ACTIONS)``, and each row's slate
    among these as ``moment``.
    """
    shown, actions = slates_of(lines)
    replay = Replay(vectors, choices or Choices(), spec or shipped())
    columns: dict[str, list[Any]] = defaultdict(list)
    for line in lines:
        slate = stable_id(line.event["slate"]) if line.topic == "impressions" and line.event.get("slate") else 0
        each = shown.pop(slate, None)
        if each is not None:
            replay.flush()
            table, baseline = await replay.rows(each)
            n = len(each.pins)
            columns["features"].append(table)
            columns["baseline"].append(baseline)
            columns["labels"].append([[(slate, pin, name) in actions for name in ACTIONS] for pin in each.pins])
            columns["examination"].append(
                examination(np.array(each.surfaces, np.uint8), np.array(each.positions, np.int16))
            )
            columns["time"].append(np.full(n, each.time))
            columns["slate"].append(np.full(n, slate))
            columns["pin"].append(each.pins)
            if actions_too:
                columns["moment"].append(np.full(n, len(columns["moment"])))
                for name, latest in replay.latest(each.pinner).items():
                    columns[name].append(latest)
        replay.add(line)
    if not columns:
        raise ValueError("there is no impression with a slate in these events")
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def read(paths: Sequence[str]) -> list[Line]:
    """All lines of some event files, in time order."""
    lines: list[Line] = []
    for path in paths:
        with open_to_read(path) as file:
            lines.extend(decode_line(text) for text in file)
    return sorted(lines, key=lambda line: line.event["time"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="+", metavar="EVENTS", help="event files: pins, pinners and traffic")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, help="pin vectors by training.ranker_vectors; without it: no relevance")
    parser.add_argument(
        "--spec", type=Path, default=SHIPPED, help="what makes the features; the one that ships if left out"
    )
    parser.add_argument("--transforms", default="", help="modules with transforms of one's own, comma-separated")
    parser.add_argument("--actions", action="store_true", help="also each pinner's latest actions before the slate")
    given = parser.parse_args()
    spec = load(given.spec, transforms=given.transforms)
    vectors = ExactVectors(np.empty(0, np.int64), np.empty((0, 0), np.float32))
    if given.vectors:
        with np.load(given.vectors) as stored:
            vectors = ExactVectors(stored["pins"], stored["vectors"])
    rows = asyncio.run(training_rows(read(given.events), vectors, spec=spec, actions_too=given.actions))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(given.out, names=np.array(spec.names), **rows)
    positives = dict(zip(ACTIONS, rows["labels"].sum(axis=0).tolist(), strict=True))
    print(f"{len(rows['time']):,} impressions of {len(np.unique(rows['slate'])):,} slates; {positives} → {given.out}")


if __name__ == "__main__":
    main()
