"""The same photo pinned twice, the second time compressed again: one picture, whose saves add up."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.running import Worker, until
from tests.integration.test_engine import PHOTOS, now, pin_event

pytestmark = pytest.mark.real

FIRST, COPY, OTHER = 6_500_001, 6_500_002, 6_500_003
SECONDS = 60


def again(photo: Path) -> str:
    """Half the size, as a JPEG of another quality."""
    picture, content = Image.open(photo).convert("RGB"), BytesIO()
    picture.resize((picture.width // 2, picture.height // 2)).save(content, "JPEG", quality=50)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def test_a_copy_rolls_up_its_saves_add_up_and_it_is_not_shown_beside_the_other(worker: Worker) -> None:
    stamp = now()
    worker.send("pins", [pin_event(FIRST, PHOTOS[60], time=stamp), pin_event(OTHER, PHOTOS[61], time=stamp)])
    worker.send("pins", [pin_event(COPY, PHOTOS[60], time=stamp + 1, image=again(PHOTOS[60]))])
    seen = "fingerprints FINAL WHERE notEmpty(fingerprint)"
    until(
        "all pins are understood",
        lambda: worker.query(f"SELECT count() AS n FROM {seen} AND pin IN ({FIRST}, {COPY}, {OTHER})")["n"][0] == 3,
        SECONDS,
    )
    saved = [(71, FIRST), (72, FIRST), (73, COPY), (71, OTHER)]
    worker.send("saves", [{"time": stamp, "pinner": who, "pin": pin, "board": 7500} for who, pin in saved])
    until("saves count", lambda: _saves(worker, FIRST) + _saves(worker, COPY) + _saves(worker, OTHER) == 4, 20)

    for pin, own in ((FIRST, 2), (COPY, 1)):
        body = worker.get(f"/v1/pins/{pin}")
        assert (body["canonical"], body["duplicates"]) == (FIRST, 1)
        stats = worker.get(f"/v1/stats/pins/{pin}")
        assert stats["totals"]["saves"] == own
        assert stats["group"]["pins"] == [FIRST, COPY] and stats["group"]["totals"]["saves"] == 3
    assert worker.get(f"/v1/pins/{OTHER}")["duplicates"] == 0

    shown = [item["pin"] for item in worker.get(f"/v1/pins/{FIRST}/related?n=50")["items"]]
    assert OTHER in shown and COPY not in shown
    shown = [item["pin"] for item in worker.get(f"/v1/pins/{OTHER}/related?n=50")["items"]]
    assert len({FIRST, COPY} & set(shown)) == 1
    worker.send("pins", [{"type": "deleted", "time": stamp + 2, "pin": FIRST}])
    until("the copy is canonical", lambda: worker.get(f"/v1/pins/{COPY}")["canonical"] == COPY, 20)


def _saves(worker: Worker, pin: int) -> int:
    return worker.get(f"/v1/stats/pins/{pin}")["totals"]["saves"]
