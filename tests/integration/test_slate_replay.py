"""Slates of a running worker: explained over HTTP, and made again bit for bit before and after it starts anew."""

from __future__ import annotations

import asyncio
import json
import urllib.error
from typing import Any

import numpy as np
import pytest

from streams.slate_replay import recorded, replay
from streams.stores.clickhouse import open_event_store
from tests.integration.running import Worker, until
from tests.integration.test_engine import PHOTOS, now, pin_event, vectors_held

pytestmark = pytest.mark.real

BASE = 5_300
PINNERS = range(61_001, 61_011)
SLATES = 40


@pytest.fixture(scope="module")
def slates(worker: Worker) -> list[int]:
    """Ids of slates that ten pinners got, and whose records are in ClickHouse."""
    random = np.random.default_rng(0)
    pins = list(range(BASE, BASE + len(PHOTOS[:12])))
    worker.send("pins", [pin_event(pin, photo) for pin, photo in zip(pins, PHOTOS, strict=False)])
    until("all pins are understood", lambda: vectors_held(worker, pins) == set(pins), 90)
    known: list[int] = []
    mine = f"pinner IN ({', '.join(map(str, PINNERS))})"
    for _ in range(20):
        events = [
            {"time": now(), "pinner": pinner, "pin": int(random.choice(pins)), "board": 80_000 + pinner}
            for pinner in PINNERS
        ]
        worker.send("saves", events)
        before = len(known)

        def more() -> bool:
            found = worker.query(f"SELECT DISTINCT slate FROM slate_records WHERE {mine}")
            known[:] = found["slate"].tolist() if found else []
            return len(known) > before  # noqa: B023

        until("more slates are recorded", more, 30)
        if len(known) >= SLATES:
            break
    return known


def replay_all(worker: Worker, slates: list[int]) -> list[str]:
    async def ask() -> list[str]:
        store = open_event_store(worker.settings)
        try:
            return [replay(await recorded(store, slate)).difference for slate in slates]
        finally:
            await store.close()

    return asyncio.run(ask())


def problem(worker: Worker, path: str) -> dict[str, Any]:
    with pytest.raises(urllib.error.HTTPError) as error:
        worker.get(path)
    return json.load(error.value)


def test_every_slate_is_made_again_bit_for_bit_and_after_a_restart_too(worker: Worker, slates: list[int]) -> None:
    assert len(slates) >= SLATES
    assert not any(replay_all(worker, slates))
    assert worker.stop() == 0
    worker.start()
    assert not any(replay_all(worker, slates))


def test_a_slate_is_explained_over_http(worker: Worker, slates: list[int]) -> None:
    told = worker.get(f"/v1/slates/{slates[0]}")
    assert told["recorded"] and told["items"] and all(0 < item["propensity"] <= 1 for item in told["items"])
    pin = told["items"][0]["pin"]
    why = worker.get(f"/v1/slates/{slates[0]}/explain?pin={pin}")
    assert why["reproduced"] and [place["pin"] for place in why["places"]] == [item["pin"] for item in told["items"]]
    assert why["pin"]["pin"] == pin and (why["pin"]["trace"] or why["degraded"])
    assert sum(source["share"] for source in why["sources"]) == 100
    assert problem(worker, "/v1/slates/12345")["type"].endswith("unknown-slate")
    assert problem(worker, "/v1/slates/12345/explain")["status"] == 404
    assert problem(worker, f"/v1/slates/{'9' * 600}")["status"] == 400
    worker.command(f"ALTER TABLE slate_records DELETE WHERE slate = {slates[1]} SETTINGS mutations_sync = 1")
    gone = problem(worker, f"/v1/slates/{slates[1]}/explain")
    assert gone["status"] == 410 and "not kept" in gone["detail"]


def test_what_pinners_do_is_put_down_to_the_sources_of_their_slates(worker: Worker, slates: list[int]) -> None:
    slate = worker.get(f"/v1/slates/{slates[0]}")
    shown = [item for item in slate["items"] if item["sources"]]
    assert shown
    event = {"time": now(), "pinner": slate["pinner"], "pin": shown[0]["pin"], "surface": "home", "position": 0}
    worker.send("impressions", [event])
    mine = f"pinner = {slate['pinner']} AND pin = {shown[0]['pin']} AND kind = 1 AND sources != 0"
    until("it is", lambda: int(worker.query(f"SELECT count() AS n FROM engagement WHERE {mine}")["n"][0]), 20)
    until("every sum is a recount", lambda: not worker.differing(), 20)


def test_an_erased_pinners_records_go(worker: Worker, slates: list[int]) -> None:
    pinner = worker.get(f"/v1/slates/{slates[2]}")["pinner"]
    worker.send("pinners", [{"type": "deleted", "pinner": pinner, "time": now()}])
    for table in ("slate_records", "rewards_by_source"):
        sql = f"SELECT count() AS n FROM {table} WHERE pinner = {pinner}"
        until(f"{table} has nothing of them", lambda sql=sql: not int(worker.query(sql)["n"][0]), 30)
