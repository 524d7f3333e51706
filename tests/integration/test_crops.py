"""Crops on real parts: one row an event, regions of them, and labels by the nearest objects of other pins."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from operators.vision.weak_labels import Voting
from streams.stores.clickhouse import open_event_store
from streams.stores.milvus import MilvusVectors
from streams.stores.triton import TritonModels
from streams.weak_labels import Stores, WeakLabel, cropped_pins, weak_labels
from tests.integration.running import Worker, until
from tests.integration.test_engine import PHOTOS, count, now

pytestmark = pytest.mark.real

PINS = range(6_200_001, 6_200_013)
CROPPED, OTHER = PINS[0], PINS[1]
SECONDS_TO_UNDERSTAND = 90


def crop(event_id: int, pin: int, box: list[float], pinner: int = 620) -> dict[str, Any]:
    return {"event_id": event_id, "time": now(), "pinner": pinner, "pin": pin, "box": box}


@pytest.fixture(scope="module")
def cropped(worker: Worker) -> Worker:
    """Pins of photos whose files stay readable, understood, and two of them cropped."""
    event = {"type": "created", "time": now(), "pinner": 619}
    worker.send(
        "pins",
        [
            event | {"pin": pin, "image": f"file:examples/sample/photos/{photo.name}"}
            for pin, photo in zip(PINS, PHOTOS[20:], strict=False)
        ],
    )
    seen = f"pin_vectors WHERE pin BETWEEN {PINS[0]} AND {PINS[-1]}"
    until("all pins are understood", lambda: count(worker, seen) >= len(PINS), SECONDS_TO_UNDERSTAND)
    same = crop(62_000_001, CROPPED, [0.1, 0.1, 0.6, 0.9])
    worker.send("crops", [same, same, crop(62_000_002, CROPPED, [0.12, 0.1, 0.62, 0.9])])
    worker.send("crops", [same, crop(62_000_003, CROPPED, [0.7, 0.7, 0.9, 0.9])])
    worker.send("crops", [crop(62_000_004, OTHER, [0.9, 0.1, 0.2, 0.5]), crop(62_000_005, OTHER, [0, 0, 1, 1])])
    until("all crops are there", lambda: count(worker, f"crops FINAL WHERE pin IN ({CROPPED}, {OTHER})") == 4, 30)
    return worker


def test_the_same_crop_is_one_row_and_a_bad_box_none(cropped: Worker) -> None:
    rows = cropped.query(f"SELECT event_id FROM crops FINAL WHERE pin IN ({CROPPED}, {OTHER}) ORDER BY event_id")
    assert rows["event_id"].tolist() == [62_000_001, 62_000_002, 62_000_003, 62_000_005]


def test_regions_are_labelled_by_objects_of_other_pins(cropped: Worker) -> None:
    async def ask(margin: float) -> list[WeakLabel]:
        settings = cropped.settings
        stores = Stores(settings, open_event_store(settings), MilvusVectors(settings), TritonModels(settings))
        try:
            assert {CROPPED, OTHER} <= set(await cropped_pins(stores.events, 1))
            assert OTHER not in await cropped_pins(stores.events, 2)
            return await weak_labels(stores, [CROPPED, OTHER], Voting(), margin)
        finally:
            for part in (stores.models, stores.vectors, stores.events):
                await part.close()

    labels = asyncio.run(ask(-1.0))
    assert [(label.pin, label.crops) for label in labels] == [(CROPPED, 2), (CROPPED, 1), (OTHER, 1)]
    assert labels[0].box == pytest.approx((0.11, 0.1, 0.61, 0.9))
    known = set(cropped.query("SELECT DISTINCT label FROM objects FINAL WHERE label != ''")["label"].tolist())
    assert {label.label for label in labels} <= known
    assert all(0 <= label.margin <= label.score <= 1 for label in labels), json.dumps([str(each) for each in labels])
    assert asyncio.run(ask(1.0)) == []


def test_an_erased_pinners_crops_go_and_no_more_come(cropped: Worker) -> None:
    pinner = 9_100_620
    cropped.send("crops", [crop(62_000_010, OTHER, [0, 0, 0.5, 0.5], pinner)])
    mine = f"crops FINAL WHERE pinner = {pinner}"
    until("their crop is there", lambda: count(cropped, mine) == 1, 30)
    cropped.send("pinners", [{"type": "deleted", "time": now(), "pinner": pinner}])
    until("their crop is gone", lambda: count(cropped, mine) == 0, 30)
    cropped.send("crops", [crop(62_000_011, OTHER, [0, 0, 0.5, 0.5], pinner), crop(62_000_012, OTHER, [0, 0, 0.4, 1])])
    until("a later crop is there", lambda: count(cropped, "crops FINAL WHERE event_id = 62000012") == 1, 30)
    assert count(cropped, mine) == 0
