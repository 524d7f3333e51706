"""Annotations, interests and text search on real products, whose types are known (``bench/quality/annotations.py``).

Figures are of the half that no constant was chosen on. docs/annotations.md has the tables.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import numpy as np
import pytest

from bench.quality.annotations import (
    AT,
    OFTEN,
    by_texts,
    interests,
    queries,
    text_search,
    text_search_with_neighbours,
    with_neighbours,
)
from bench.quality.room_products import RoomProducts
from streams.settings import Settings

pytestmark = pytest.mark.data

FULL = os.environ.get("PINSTREAM_FULL") == "1"


@pytest.fixture(scope="module")
def rooms(shared_data: Path) -> RoomProducts:
    return RoomProducts(shared_data)


@pytest.fixture(scope="module")
def seen_rooms(shared_data: Path, triton: Settings) -> tuple[RoomProducts, np.ndarray]:
    """Products with vectors of their pictures."""
    rooms = RoomProducts(shared_data, 1 if FULL else OFTEN)
    return rooms, asyncio.run(rooms.vectors(triton))


def test_the_right_type_is_among_the_first_annotations(rooms: RoomProducts) -> None:
    figures = by_texts(rooms)
    print(f"\nright type among annotations: {json.dumps(figures)}")
    for name in ("title", "title, description"):
        assert figures[name][f"@{AT}"] >= 0.60 and figures[name][f"@{AT} recurring"] >= 0.78, figures
        assert figures[name]["coverage"] >= 0.97, figures
    assert figures["name, description"][f"@{AT}"] < 0.1, "the type is not hidden"


@pytest.mark.real
def test_what_looks_alike_names_what_the_text_does_not(seen_rooms: tuple[RoomProducts, np.ndarray]) -> None:
    figures = with_neighbours(*seen_rooms)
    print(f"\nright type with neighbours: {json.dumps(figures)}")
    assert figures["name"]["alike"][f"@{AT}"] >= 0.35 > 0.05 > figures["name"]["alone"][f"@{AT}"], figures
    assert figures["title, description"]["alike"][f"@{AT}"] >= figures["title, description"]["alone"][f"@{AT}"] - 0.01


def test_interests_level_by_level(rooms: RoomProducts) -> None:
    figures, known = interests(rooms)
    print(f"\ninterests, {known} of {len(rooms.test)} products: {json.dumps(figures)}")
    assert known >= 0.8 * len(rooms.test)
    assert figures[1]["precision"] >= 0.8 and figures[1]["recall"] >= 0.9, figures
    assert figures[3]["recall"] >= 0.6, figures


def test_text_search_finds_products_by_type(rooms: RoomProducts) -> None:
    figures = text_search(rooms)
    print(f"\ntext search, {len(queries(rooms))} types: {json.dumps(figures)}")
    assert figures["title"]["index"]["R@10"] >= figures["title"]["word match"]["R@10"] + 0.05, figures
    for each in figures.values():
        assert each["index"]["R@10"] >= each["word match"]["R@10"], figures
        assert each["index"]["P@10"] >= each["word match"]["P@10"], figures


@pytest.mark.real
def test_text_search_finds_what_only_neighbours_name(seen_rooms: tuple[RoomProducts, np.ndarray]) -> None:
    figures = text_search_with_neighbours(*seen_rooms)
    print(f"\ntext search for products without their type: {json.dumps(figures)}")
    assert figures["with neighbours"]["R@10"] >= figures["text alone"]["R@10"] + 0.1, figures
