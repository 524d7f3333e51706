"""Real data through the engine at once: real saves are replayed while real photos are being understood.

Nothing may be lost, every aggregate must equal its recount, and feeds go on meanwhile. A small size by default;
``PINSTREAM_FULL=1`` takes 100,000 saves and 1,000 photos.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.traffic.convert import Report, convert
from streams.traffic.lines import Line, open_to_read
from streams.traffic.replay import Account, replay
from streams.traffic.watch import Watch
from tests.integration.running import Worker, until

pytestmark = [pytest.mark.real, pytest.mark.data, pytest.mark.slow]

FULL = os.environ.get("PINSTREAM_FULL") == "1"
SAVES, PHOTOS = (100_000, 1_000) if FULL else (20_000, 60)
SECONDS = 1_800 if FULL else 240
FIRST_PIN = 5_500_000


def real_saves(folder: Path, report: Report) -> Iterator[Line]:
    with open_to_read(str(folder / "saves" / "train.txt")) as rows:
        yield from itertools.islice(convert("saves", rows, report), SAVES)


def real_photos(folder: Path) -> Iterator[Line]:
    labels = json.loads((folder / "photos" / "labels.json").read_text())
    for number, row in enumerate(labels[:PHOTOS]):
        photo = base64.b64encode((folder / row["image"]).read_bytes()).decode()
        event = {
            "type": "created",
            "time": int(time.time() * 1000),
            "pin": FIRST_PIN + number,
            "pinner": 1,
            "image": f"data:image/jpeg;base64,{photo}",
            "title": row["label"],
        }
        yield Line("pins", FIRST_PIN + number, event)


def saves_counted(worker: Worker, since: int) -> int:
    return int(worker.query(f"SELECT count() AS n FROM engagement WHERE topic = 'saves' AND logged >= {since}")["n"][0])


@pytest.mark.timeout(SECONDS * 2)
def test_real_saves_while_real_photos_are_understood_lose_nothing(worker: Worker, shared_data: Path) -> None:
    since = int(time.time() * 1000)
    with Watch(worker.settings) as watch:
        assert replay(real_photos(shared_data), worker.settings, Account()).delivered == PHOTOS
        report = Report()
        sent = replay(real_saves(shared_data, report), worker.settings, Account())
        assert (sent.delivered, sent.failed, report.bad) == (SAVES, 0, 0)

        wanted = set(range(FIRST_PIN, FIRST_PIN + PHOTOS))
        until("every save is counted", lambda: saves_counted(worker, since) >= SAVES, SECONDS)
        until("every photo is understood", lambda: wanted <= watch.seen.understood, SECONDS)
        slates = len(watch.seen.slates)
        assert slates > 0, "no slate came while the replay went on"
        pinner = 4_400_001
        live = {"time": int(time.time() * 1000), "pinner": pinner, "pin": FIRST_PIN, "board": "live"}
        replay([Line("saves", pinner, live)], worker.settings, Account())
        until("a feed follows a live save", lambda: pinner in watch.seen.newest, 30)

    until("the live save is counted too, once", lambda: saves_counted(worker, since) == SAVES + 1, 10)
    assert worker.differing() == []
