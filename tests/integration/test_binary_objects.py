"""A worker that keeps objects as bits: pins flow in, and Lens finds by a crop what was indexed so."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient

from infra import supervisor
from infra.standing import stand_up
from streams.cli.running import environment
from streams.settings import PROJECT, Settings
from streams.stores.clickhouse import open_event_store
from tests.conftest import free_base, link_installed
from tests.integration.running import Worker, until

pytestmark = pytest.mark.real

SAMPLE = PROJECT / "examples" / "sample" / "photos"
#: Photos of the sample in which the detector is sure of a person, and some in which it is not.
FILES = [SAMPLE / "302-pants.jpg", SAMPLE / "204-t-shirt.jpg", *sorted(SAMPLE.glob("*.jpg"))[40:44]]
FIRST, BEFORE = 6_600_000, 6_700_000
BEGAN, SECONDS = 1_750_000_000_000, 120


@pytest.fixture(scope="module")
def stack(
    triton: Settings, milvus_apart: Callable[[str], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Kafka and ClickHouse of one's own, the session's Triton, a database of one's own in its Milvus."""
    mine = replace(
        Settings.load({}),
        home=tmp_path_factory.mktemp("bits"),
        port_base=free_base(),
        group=f"bits-{os.getpid()}",
        milvus=triton.milvus_uri,
        milvus_database=milvus_apart("bits").milvus_database,
        triton=triton.triton_grpc,
        object_index="binary",
    )
    link_installed(mine, "kafka", "clickhouse")
    try:
        asyncio.run(stand_up(mine, lambda _: None))
        yield mine
    finally:
        supervisor.down(mine, lambda _: None, ["kafka", "clickhouse"])


@pytest.fixture(scope="module")
def worker(stack: Settings) -> Iterator[Worker]:
    """It finds a pin that was understood while there was no safety model."""
    asyncio.run(_understood_before(stack))
    running = Worker(stack, environment=environment(stack))
    running.start()
    yield running
    running.stop()


async def _understood_before(settings: Settings) -> None:
    events = open_event_store(settings)
    pin: dict[str, Any] = {"pin": [BEFORE], "version": [BEGAN]}
    await events.insert("pins", {**pin, "deleted": [0], "image": [f"file:{FILES[0].relative_to(PROJECT)}"]})
    await events.insert("pin_vectors", {**pin, "encoder_version": ["2"], "vector": [[1.0] + [0.0] * 255]})
    await events.close()


def lens(worker: Worker, photo: Path, query: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{worker.url}/v1/lens?{query}", photo.read_bytes(), {"Content-Type": "image/jpeg"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_objects_are_indexed_as_bits_and_found_by_crops(worker: Worker, stack: Settings) -> None:
    pins = dict(enumerate(FILES, FIRST))
    created = {"type": "created", "pinner": 640}
    worker.send(
        "pins",
        [
            {**created, "time": BEGAN + pin, "pin": pin, "image": f"file:{file.relative_to(PROJECT)}"}
            for pin, file in pins.items()
        ],
    )
    understood = f"SELECT count() AS n FROM pin_vectors FINAL WHERE pin IN {tuple(pins)} AND notEmpty(vector)"
    until("all pins are understood", lambda: int(worker.query(understood)["n"][0]) == len(pins), SECONDS)

    client: Any = MilvusClient(stack.milvus_uri, db_name=stack.milvus_database)
    assert {*client.list_collections()} == {"pins", "object_bits", "pinsage"}, "no object is kept as floats"
    kinds = {each["name"]: each["type"] for each in client.describe_collection("object_bits")["fields"]}
    assert kinds["vector"] == DataType.BINARY_VECTOR
    client.close()

    dots = worker.get(f"/v1/pins/{FIRST}/objects")["objects"]
    person = next(one for one in dots if one["label"] == "person")
    box = ",".join(str(edge) for edge in person["box"])

    def itself() -> bool:
        hits = lens(worker, pins[FIRST], f"box={box}")["hits"]
        return any(hit["pin"] == FIRST and hit["similarity"] > 0.8 for hit in hits)

    until("a crop finds its scene, by the floats beside the bits", itself, SECONDS)


def test_a_worker_judges_pins_that_have_no_score(worker: Worker) -> None:
    scored = f"SELECT count() AS n FROM safety FINAL WHERE pin = {BEFORE} AND version = {BEGAN} AND unsafe < 0.5"
    until("the pin is judged", lambda: int(worker.query(scored)["n"][0]) == 1, SECONDS)
