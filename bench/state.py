"""Folding on one core: events per CPU second of each fold and of all together, and bytes of memory by what is kept."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.events import Kind
from streams.state import HotState

START = 1_772_323_200_000


def traffic(events: int, pins: int, pinners: int, seed: int = 0) -> Engagement:
    """Events in time order; pins and pinners by Zipf's law, as real traffic is."""
    random = np.random.default_rng(seed)
    kind = random.choice(list(Kind), events, p=[0.75, 0.12, 0.04, 0.08, 0.01]).astype(np.uint8)
    return Engagement(
        source=Source("saves", 0, 0, events - 1),
        offset=np.arange(events),
        logged=START + np.arange(events),
        time=START + np.sort(random.integers(0, 86_400_000, events)),
        event_id=random.integers(1, 2**62, events),
        kind=kind,
        pinner=1 + random.zipf(1.2, events) % pinners,
        pin=1 + random.zipf(1.1, events) % pins,
        board=np.where(kind == Kind.SAVE, random.integers(1, pinners * 3, events), 0),
        slate=np.zeros(events, np.int64),
        position=random.integers(0, 40, events).astype(np.int16),
        surface=random.integers(0, 5, events).astype(np.uint8),
        owner=np.zeros(events, np.int64),
        domain=np.zeros(events, np.int64),
        is_follower=np.zeros(events, np.uint8),
    )


def batches(events: Engagement, size: int) -> list[Engagement]:
    cuts = range(0, len(events), size)
    return [
        Engagement(events.source, *(getattr(events, name)[at : at + size] for name in ENGAGEMENT_COLUMNS))
        for at in cuts
    ]


def announced(state: HotState, pins: int, pinners: int, seed: int = 1) -> float:
    """Fill the catalogue and follows; returns pins accepted per second."""
    random = np.random.default_rng(seed)
    ids = np.arange(1, pins + 1)
    columns = {name: random.integers(1, high, pins) for name, high in (("owners", pinners), ("boards", pins // 20 + 2))}
    began = time.process_time()
    state.catalogue.accept(
        ids, START + ids, np.zeros(pins, np.bool_), ids, **columns, domains=random.integers(1, 1000, pins)
    )
    spent = time.process_time() - began
    pairs = 10 * pinners
    state.follows.accept(
        random.integers(1, pinners + 1, pairs),
        random.integers(1, pinners + 1, pairs),
        np.full(pairs, START),
        np.ones(pairs, np.bool_),
    )
    return pins / spent


def rate(work: Callable[[Engagement], object], parts: list[Engagement]) -> float:
    began = time.process_time()
    for part in parts:
        work(part)
    return sum(map(len, parts)) / (time.process_time() - began)


def measure(events: int, pins: int, pinners: int, batch: int) -> dict[str, float]:
    found: dict[str, float] = {}
    warm = HotState()
    announced(warm, 1_000, 100)
    for part in batches(traffic(20_000, 1_000, 100), 5_000):
        warm.apply(warm.catalogue.enrich(part, warm.follows))
    warm.board_graph.related(np.array([1]), np.ones(1), 10)
    warm.quality.leaders(5, START), warm.trending.top(5, START), warm.quality.owners(np.array([1]), START)

    state, alone = HotState(), HotState()
    found["pins accepted/s"] = announced(state, pins, pinners)
    raw = batches(traffic(events, pins, pinners), batch)
    found["enrich events/s"] = rate(lambda part: state.catalogue.enrich(part, state.follows), raw)
    rich = [state.catalogue.enrich(part, state.follows) for part in raw]
    found["quality events/s"] = rate(alone.quality.update, rich)
    found["recent actions events/s"] = rate(alone.recent.update, rich)
    found["trending events/s"] = rate(alone.trending.update, rich)
    found["board graph events/s"] = rate(lambda part: alone.board_graph.add(part.pin, part.board), rich)
    found["duplicates events/s"] = rate(lambda part: alone.duplicates.load(part.event_id), rich)
    found["all folds (HotState.apply) events/s"] = rate(state.apply, rich)

    now = state.now
    random = np.random.default_rng(2)
    asked, seeds = random.integers(1, pins + 1, 1_000), random.integers(1, pins + 1, 50)
    found["related, 50 seeds, ms"] = 1e3 * seconds(lambda: state.board_graph.related(seeds, np.ones(50), 500), 20)
    found["trending.top(500), ms"] = 1e3 * seconds(lambda: state.trending.top(500, now), 20)
    found["catalogue.newest(500), ms"] = 1e3 * seconds(lambda: state.catalogue.newest(500), 20)
    found["quality.pins of 1,000, ms"] = 1e3 * seconds(lambda: state.quality.pins(asked, now), 20)
    found["quality.domains, a pass over all pins, ms"] = 1e3 * seconds(lambda: state.quality.domains(asked, now), 1)
    found["quality.domains after it, ms"] = 1e3 * seconds(lambda: state.quality.domains(asked, now), 20)
    found["catalogue bytes/pin"] = state.catalogue.nbytes / pins
    found["quality bytes/pin"] = state.quality.nbytes / len(state.quality)
    found["trending bytes/pin"] = state.trending.nbytes / len(state.trending)
    found["board graph bytes/edge"] = state.board_graph.nbytes / max(1, len(state.board_graph))
    found["recent actions bytes/pinner"] = state.recent.nbytes / len(state.recent)
    return found


def seconds(work: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--pins", type=int, default=200_000)
    parser.add_argument("--pinners", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=10_000, help="events a batch")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.events, arguments.pins, arguments.pinners, arguments.batch)
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<45}{value:>14,.2f}" if value < 1_000 else f"{name:<45}{value:>14,.0f}")


if __name__ == "__main__":
    main()
