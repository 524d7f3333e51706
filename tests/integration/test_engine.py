"""The engine whole, on real parts: what flows in comes out, exactly, and what was asked to go is gone."""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer

from operators.identity import stable_id
from operators.slate.slate import Slate, decode
from streams.settings import PROJECT
from streams.stores.milvus import MilvusVectors
from streams.stores.protocols import StoreUnavailable
from tests.integration.running import Worker, until

pytestmark = pytest.mark.real

PHOTOS = sorted((PROJECT / "examples" / "sample" / "photos").glob("*.jpg"))
BOARD, OTHER_BOARD = 7001, 7002
SECONDS_TO_UNDERSTAND = 60


def now() -> int:
    return int(time.time() * 1000)


def pin_event(pin: int, photo: Path, **fields: Any) -> dict[str, Any]:
    image = "data:image/jpeg;base64," + base64.b64encode(photo.read_bytes()).decode()
    event = {"type": "created", "time": now(), "pin": pin, "pinner": 900 + pin % 3, "board": BOARD, "image": image}
    return event | {"title": photo.stem, "link": "https://shop.example/x"} | fields


def count(worker: Worker, sql: str) -> int:
    return int(worker.query(f"SELECT count() AS n FROM {sql}")["n"][0])


def vectors_held(worker: Worker, pins: list[int]) -> set[int]:
    async def ask() -> set[int]:
        store = MilvusVectors(worker.settings)
        try:
            return set(await store.fetch("pins", np.array(pins, np.int64)))
        except StoreUnavailable:  # a collection that is being made answers a moment later
            return set()
        finally:
            await store.close()

    return asyncio.run(ask())


def assert_equal_to_recount(worker: Worker) -> None:
    """Every sum equals its recount, once the views of the last insert have followed its raw rows."""

    deadline = time.monotonic() + 15
    while differing := worker.differing():
        assert time.monotonic() < deadline, differing
        time.sleep(0.2)


@pytest.fixture(scope="module")
def pins(worker: Worker) -> list[int]:
    """Twelve pins with real photos, understood."""
    ids = list(range(5001, 5013))
    worker.send("pins", [pin_event(pin, photo) for pin, photo in zip(ids, PHOTOS, strict=False)])
    until("all pins are understood", lambda: vectors_held(worker, ids) == set(ids), SECONDS_TO_UNDERSTAND)
    return ids


def test_a_pin_is_findable_by_its_image(worker: Worker, pins: list[int]) -> None:
    twin = 5100
    worker.send("pins", [pin_event(twin, PHOTOS[0])])
    began = time.monotonic()
    path = f"/v1/pins/{twin}/related?sources=visual&n=3"
    found = until(
        "pins that look like it are related",
        lambda: twin in vectors_held(worker, [twin]) and worker.get(path)["items"],
        SECONDS_TO_UNDERSTAND,
    )
    print(f"findable after {time.monotonic() - began:.1f} s")
    assert not {item["pin"] for item in found} & {twin, pins[0]}, "the same picture again is no related pin"
    nearest = worker.get(f"/v1/pins/{pins[0]}/related?sources=visual&n=1")["items"]
    assert found[0]["pin"] == nearest[0]["pin"], "what is nearest to the one is nearest to the other"


def test_a_save_changes_the_next_feed(worker: Worker, pins: list[int]) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": worker.settings.kafka_bootstrap,
            "group.id": f"feeds-{now()}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe(["feed.candidates"])
    pinner, event_id = 31, stable_id(f"save-{now()}")
    # Others saved the first four pins to one board, so the graph knows that they belong together.
    worker.send(
        "saves",
        [
            {"time": now(), "pinner": other, "pin": pin, "board": OTHER_BOARD + other}
            for other in (41, 42, 43)
            for pin in pins[:4]
        ],
    )
    before = worker.get(f"/v1/feed/{pinner}?n=12")
    save = {"event_id": event_id, "time": now(), "pinner": pinner, "pin": pins[0], "board": OTHER_BOARD}
    worker.send("saves", [save])

    def slate_of_the_save() -> Slate | None:
        for message in consumer.consume(200, timeout=0.5):
            slate = decode(message.value())
            if slate.trigger_event == event_id:
                return slate
        return None

    slate = until("a slate for the save is on feed.candidates", slate_of_the_save, 20)
    consumer.close()
    shown = [item.pin for item in slate.items]
    assert slate.pinner == pinner and shown
    assert pins[0] not in shown, "what was just saved is not offered again"
    assert set(pins[1:4]) & set(shown)
    together = next(item for item in slate.items if item.pin in pins[1:4])
    assert "boards" in together.sources
    assert slate.models["ranker"] and not slate.degraded
    assert all(item.probabilities is not None for item in slate.items)
    assert 0 < slate.freshness_ms < 20_000
    assert [item["pin"] for item in before["items"]] != shown
    until("the slate is in ClickHouse", lambda: count(worker, f"slates WHERE slate = {slate.slate}") == 1, 10)


def test_a_deleted_pin_never_appears_again(worker: Worker, pins: list[int]) -> None:
    gone, deleted = pins[-1], now() + 1
    worker.send("pins", [{"type": "deleted", "time": deleted, "pin": gone}])
    until("its vector is gone", lambda: gone not in vectors_held(worker, [gone]), SECONDS_TO_UNDERSTAND)
    # An older version that comes late brings nothing back.
    worker.send("pins", [pin_event(gone, PHOTOS[11], time=deleted - 10, type="updated")])
    worker.send("pins", [pin_event(5200, PHOTOS[12])])
    until("a later pin is understood", lambda: 5200 in vectors_held(worker, [5200]), SECONDS_TO_UNDERSTAND)
    assert not vectors_held(worker, [gone])
    assert count(worker, f"pins FINAL WHERE pin = {gone} AND deleted = 1") == 1
    for pinner in (31, 77):
        assert gone not in [item["pin"] for item in worker.get(f"/v1/feed/{pinner}?n=100")["items"]]


def test_bad_input_is_set_aside_and_harms_nothing(worker: Worker, pins: list[int]) -> None:
    from confluent_kafka import Producer

    letters = Consumer(
        {
            "bootstrap.servers": worker.settings.kafka_bootstrap,
            "group.id": f"letters-{now()}",
            "auto.offset.reset": "earliest",
        }
    )
    letters.subscribe(["dead.letters"])
    producer = Producer({"bootstrap.servers": worker.settings.kafka_bootstrap})
    good = {"event_id": 880_000, "time": now(), "pinner": 51, "pin": pins[1], "type": "closeup"}
    bad = [b"{", b"[]", b'{"time": "soon"}', b"\xff\xfe", msgspec.json.encode(good | {"time": now() + 10**10})]
    for value in [*bad, msgspec.json.encode(good), msgspec.json.encode(good)]:
        producer.produce("clicks", value, b"51")
    producer.flush(10)
    worker.send("pins", [pin_event(5300, PHOTOS[13], image="data:image/png;base64,AAAA"), pin_event(5301, PHOTOS[14])])

    until("the good event counts once", lambda: count(worker, "engagement WHERE event_id = 880000") == 1, 20)
    until("the neighbour of a bad image is understood", lambda: vectors_held(worker, [5301]), SECONDS_TO_UNDERSTAND)
    reasons: set[str] = set()
    wanted = {"bad_json", "not_an_object", "wrong_type", "bad_utf8", "time_in_future", "image_not_an_image"}

    def read() -> bool:
        for message in letters.consume(100, timeout=0.5):
            with suppress(msgspec.DecodeError):  # other tests put there what is no letter
                reasons.add(msgspec.json.decode(message.value() or b"")["reason"])
        return wanted <= reasons

    until(f"dead letters give {wanted}, had {reasons}", read, 20)
    letters.close()
    assert not vectors_held(worker, [5300])


def test_an_erased_pinner_is_gone_everywhere(worker: Worker, pins: list[int]) -> None:
    # An id of no data set: what an erased pinner does is refused for the rest of the session.
    pinner, own = 9_100_066, 5400
    worker.send("pins", [pin_event(own, PHOTOS[15], pinner=pinner)])
    worker.send("pinners", [{"type": "followed", "time": now(), "pinner": pinner, "pinners": [901]}])
    worker.send("saves", [{"time": now(), "pinner": pinner, "pin": pin, "board": 7100} for pin in pins[:3]])
    worker.send("saves", [{"time": now(), "pinner": 67, "pin": own, "board": 7101}])
    until("their pin is understood", lambda: vectors_held(worker, [own]), SECONDS_TO_UNDERSTAND)
    until("their saves count", lambda: count(worker, f"engagement WHERE pinner = {pinner}") == 3, 20)
    until("they have a slate", lambda: count(worker, f"slates WHERE pinner = {pinner}") > 0, 20)
    saves_before = count(worker, f"engagement WHERE kind = 4 AND pin IN ({','.join(map(str, pins[:3]))})")

    worker.send("pinners", [{"type": "deleted", "time": now(), "pinner": pinner}])
    until(
        "their rows are gone", lambda: count(worker, f"engagement WHERE pinner = {pinner} OR owner = {pinner}") == 0, 30
    )
    until("their pin's vector is gone", lambda: not vectors_held(worker, [own]), SECONDS_TO_UNDERSTAND)
    for table, who in (("slates", "pinner"), ("engagement_by_pinner", "pinner"), ("engagement_by_owner", "owner")):
        until(f"nothing in {table}", lambda t=table, w=who: count(worker, f"{t} WHERE {w} = {pinner}") == 0, 20)
    until("nothing in follows", lambda: count(worker, f"follows WHERE follower = {pinner}") == 0, 20)
    assert count(worker, f"engagement WHERE kind = 4 AND pin IN ({','.join(map(str, pins[:3]))})") == saves_before
    # What they still send is refused.
    late = {"event_id": 990_000, "time": now(), "pinner": pinner, "pin": pins[0], "board": 7100}
    after = {"event_id": 990_001, "time": now(), "pinner": 67, "pin": pins[0], "board": 7101}
    worker.send("saves", [late, after])
    until("a later event counts", lambda: count(worker, "engagement WHERE event_id = 990001") == 1, 20)
    assert count(worker, "engagement WHERE event_id = 990000") == 0
    assert_equal_to_recount(worker)


def test_nothing_is_lost_or_counted_twice_when_the_worker_is_killed(worker: Worker, pins: list[int]) -> None:
    total, first = 20_000, 10_000_000
    stamp = now()
    events = [
        {"event_id": first + n, "time": stamp - n, "pinner": 100 + n % 500, "pin": pins[n % 11], "type": "closeup"}
        for n in range(total)
    ]
    stored = f"engagement WHERE event_id >= {first} AND event_id < {first + total}"
    for part in range(4):
        worker.send("clicks", events[part * 5000 : (part + 1) * 5000])
        # Some batches are stored, some under way, some not read when it dies.
        until("something is stored", lambda least=part * 4000: count(worker, stored) > least, 30)
        if part < 3:
            worker.kill()
            worker.start()
    # The same events again, as a producer does that did not hear back.
    worker.send("clicks", events[:2000])
    until("every event is stored", lambda: count(worker, stored) == total, 60)
    time.sleep(1)
    assert count(worker, stored) == total
    assert int(worker.query(f"SELECT uniqExact(event_id) AS n FROM {stored}")["n"][0]) == total
    assert_equal_to_recount(worker)


def test_it_stops_cleanly(worker: Worker) -> None:
    assert worker.stop() == 0
    worker.start()
