"""Object search finds a product's real rooms better than whole images do (``bench/quality/object_search.py``).

``PINSTREAM_FULL=1`` takes all rooms and products and minutes, and holds the goal on the test half, too.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.quality.object_search import RATIO, SAMPLE, WHOLE_SET, measured
from streams.settings import Settings

pytestmark = [pytest.mark.data, pytest.mark.real]

FULL = os.environ.get("PINSTREAM_FULL") == "1"


@pytest.mark.timeout(1200)
async def test_rooms_are_found_by_their_objects_better_than_as_wholes(triton: Settings, shared_data: Path) -> None:
    found = await measured(triton, shared_data / "rooms", WHOLE_SET if FULL else SAMPLE)
    figures = {
        way: {split: round(found.mean(way, split), 4) for split in ("validation", "test", "all")}
        for way in found.recalls
    }
    print(f"\nrecall of a product's rooms, {found.vectors_a_room:.1f} vectors a room: {figures}")
    whole, objects = figures["whole image"], figures["object search"]
    assert objects["all"] > whole["all"], figures
    if FULL:
        assert objects["all"] >= RATIO * whole["all"] and objects["test"] >= RATIO * whole["test"], figures
