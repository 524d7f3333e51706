"""A worker that gets every partition knows what the others wrote to the last: nobody tells it any more from then on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.integration.running import Worker, until
from tests.integration.test_engine import PHOTOS, now, pin_event
from tests.integration.test_near_duplicates import again
from tests.integration.test_restart import partitions, shared

pytestmark = pytest.mark.real

FIRST, PAIRS = 6_600_001, 8
SECONDS = 120


@pytest.fixture
def survivor(worker: Worker) -> Iterator[Worker]:
    """One more worker, which does not look at what others wrote by itself before this test is over."""
    running = worker.another("survivor", {"PINSTREAM_FOLLOW_SECONDS": "3600"})
    try:
        running.start()
        until("both have partitions", lambda: shared(worker), 30)
        yield running
    finally:
        running.stop()
        if worker.process is None or worker.process.poll() is not None:
            worker.start()


@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_nothing_that_another_wrote_is_missed(worker: Worker, survivor: Worker, way: str) -> None:
    """Pins and copies of them, some taken up and understood by one worker, some by the other, which then has all."""
    first, stamp = FIRST + 1_000 * (way == "killed"), now()
    originals, copies = range(first, first + PAIRS), range(first + 100, first + 100 + PAIRS)
    word = f"handed{way}"
    photos = PHOTOS[70 + PAIRS * (way == "killed") :]
    worker.send(
        "pins", [pin_event(pin, photo, time=stamp, title=word) for pin, photo in zip(originals, photos, strict=False)]
    )
    worker.send(
        "pins",
        [
            pin_event(pin, photo, time=stamp + 1, title=word, image=again(photo))
            for pin, photo in zip(copies, photos, strict=False)
        ],
    )
    everything = sorted([*originals, *copies])
    known = f"pin IN ({', '.join(map(str, everything))})"

    def complete(table: str) -> bool:
        stored = worker.query(f"SELECT uniqExact(pin) AS n FROM {table} WHERE {known}")
        return int(stored["n"][0]) == len(everything)

    for table in ("pins", "pin_annotations", "fingerprints", "safety"):
        until(f"all are in {table}", partial(complete, table), SECONDS)
    missing = set(everything) - found(survivor, word)
    assert missing, "the survivor took them all up itself, so this test says nothing"

    worker.kill() if way == "killed" else worker.stop()
    until("one has everything", lambda: len(partitions(survivor)) == 1, 30)
    until("it finds all of them by words", lambda: found(survivor, word) == set(everything), 20)
    for original, copy in zip(originals, copies, strict=True):
        # Scores are read last. Other tests may have pinned these photos before: then the canonical pin is theirs.
        until("it knows both", lambda pins=(copy, original): all(map(partial(judged, survivor), pins)), 20)
        copied, first_seen = (survivor.get(f"/v1/pins/{pin}") for pin in (copy, original))
        assert copied["canonical"] == first_seen["canonical"] != copy and copied["duplicates"], (original, copy)


def judged(worker: Worker, pin: int) -> bool:
    return worker.get(f"/v1/pins/{pin}")["unsafe"] is not None


def found(worker: Worker, word: str) -> set[int]:
    return {item["pin"] for item in worker.get(f"/v1/search?q={word}&n=200")["items"]}
