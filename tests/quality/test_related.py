"""Related pins on real saves and rooms: joined, the sources find more than any of them alone.

The quick form: a part of the saves, one seed. ``pinstream evaluate related`` has the whole of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.quality.related import BLEND, TOLERANCE, contest, measured
from bench.quality.related_worlds import kept_pictures, rooms, saves
from streams.related_sources import SOURCES
from streams.settings import Settings

pytestmark = pytest.mark.data


def test_joined_sources_find_more_saves_than_the_best_alone(shared_data: Path) -> None:
    world = saves(shared_data / "saves", "test", seed=0, asked=300, pinners=8_000)
    table = measured(world)
    print({name: {k: round(v, 4) for k, v in each.items()} for name, each in table.items()})
    best = {metric: max(table[name][metric] for name in SOURCES) for metric in ("recall@100", "recall@10", "MRR")}
    assert table[BLEND]["recall@100"] > best["recall@100"], table
    assert all(table[BLEND][metric] >= best[metric] * (1 - TOLERANCE) for metric in best), table
    assert table["pin2vec"]["recall@100"] > table["boards"]["recall@100"] > 0.05
    assert table["words"]["recall@100"] == table["visual"]["recall@100"] == 0


def test_joined_sources_find_more_of_a_room_than_the_best_alone(shared_data: Path) -> None:
    if not kept_pictures().exists():
        pytest.skip("the rooms' pictures were not encoded yet: run `pinstream evaluate related` once")
    told = contest([rooms(shared_data / "rooms", Settings.load().home / "weights", "test", seed=0)], "test")
    print("\n".join(told.lines()))
    assert told.reached()["recall@100"]
    blend = next(each for each in told.entries if each.system == BLEND)
    assert all(blend.mean(metric) >= least * (1 - TOLERANCE) for metric, least in told.goals.items())
    assert {each.system for each in told.entries} > set(SOURCES)
