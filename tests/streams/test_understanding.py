"""Vision on real parts: what a pin leaves in Milvus and ClickHouse and on the topics, and what bad ones do not."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition
from PIL import Image

from infra.migrate import migrate
from operators.accepted import AcceptedPin
from operators.batch import Records, Source
from operators.identity import combined_id
from streams import pin_safety, understanding
from streams.agents import vision
from streams.dead_letters import decode_dead_letter
from streams.engine import Engine
from streams.settings import PROJECT, Settings
from streams.stores.protocols import StoreUnavailable
from streams.stores.triton import TritonModels
from tests.streams.serving import make_engine

PHOTOS = PROJECT / "examples" / "sample" / "photos"
#: Photos of the sample in which the detector is sure of a person, and one of a hat.
PERSON, OTHER_PERSON, HAT = "302-pants.jpg", "204-t-shirt.jpg", "190-hat.jpg"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "bad_json"),
        (b"", "bad_json"),
        (b"[]", "wrong_type"),
        (b'{"pin": 1}', "wrong_type"),
        (b'{"pin": "1", "version": 1}', "wrong_type"),
        (b'{"pin": 0, "version": 1}', "bad_id"),
        (b'{"pin": 9223372036854775808, "version": 1}', "bad_id"),
        (b'{"pin": 1, "version": 1, "title": "\xff"}', "bad_utf8"),
        (b'{"pin": 1, "version": 1, "x": ' + b"[" * 100_000, "bad_json"),
    ],
)
def test_what_cannot_be_read_is_set_aside(value: bytes | None, reason: str) -> None:
    good = accepted(5, 1)
    source = Source("pins.accepted", 0, 7, 8)
    pins, rejects = vision._decode(
        Records.of(source, np.array([7, 8]), np.array([1, 2]), [value, msgspec.json.encode(good)])
    )
    assert pins == [(1, good)]
    assert [(reject.offset, str(reject.reason), reject.logged) for reject in rejects] == [(7, reason, 1)]


@pytest.fixture(scope="module")
def parts(
    kafka: Settings, clickhouse: Settings, triton: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Real Kafka, ClickHouse and Triton; Milvus inside this process, as other tests use the server's collections."""
    path = tmp_path_factory.mktemp("milvus") / "vision.db"
    yield replace(kafka, milvus=str(path), image_folders="examples")


@pytest.fixture
async def engine(parts: Settings) -> AsyncIterator[Engine]:
    made = make_engine(parts)
    await migrate(made.events)
    yield made
    await made.outputs.close()
    for part in (made.models, made.vectors, made.events):
        await part.close()


@pytest.fixture
def said(parts: Settings) -> Iterator[Any]:
    """Messages that came to a topic since the test began."""
    consumers: dict[str, Consumer] = {}

    def listen(topic: str) -> None:
        consumer = Consumer(
            {"bootstrap.servers": parts.kafka_bootstrap, "group.id": f"said-{topic}", "enable.auto.commit": False}
        )
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = [
            TopicPartition(topic, number, consumer.get_watermark_offsets(TopicPartition(topic, number))[1])
            for number in partitions
        ]
        consumer.assign(ends)
        consumers[topic] = consumer

    def read(topic: str, count: int) -> list[bytes]:
        """The next ``count`` messages, and none beyond them."""
        messages = consumers[topic].consume(count, timeout=20)
        assert not consumers[topic].consume(1, timeout=0.3)
        return [message.value() for message in messages]

    for topic in ("pin.understood", "dead.letters"):
        listen(topic)
    yield read
    for consumer in consumers.values():
        consumer.close()


def inline(name: str) -> str:
    return "data:image/jpeg;base64," + base64.b64encode((PHOTOS / name).read_bytes()).decode()


def accepted(number: int, version: int, image: str | None = None, **fields: Any) -> AcceptedPin:
    return AcceptedPin(pin=number, version=version, image=image, pinner=1, board=2, **fields)


def batch(*pins: AcceptedPin | bytes) -> Records:
    values: list[bytes | None] = [pin if isinstance(pin, bytes) else msgspec.json.encode(pin) for pin in pins]
    count = len(values)
    source = Source("pins.accepted", 0, 100, 99 + count)
    return Records.of(source, np.arange(100, 100 + count), np.full(count, 1_750_000_000_000), values)


async def vector_row(engine: Engine, pin: int) -> tuple[int, str, int]:
    """(version, encoder, dimensions) of ClickHouse's row."""
    rows = await engine.events.query(
        "SELECT version, encoder_version AS encoder, length(vector) AS width FROM pin_vectors FINAL"
        " WHERE pin = {pin:Int64}",
        {"pin": pin},
    )
    return int(rows["version"][0]), str(rows["encoder"][0]), int(rows["width"][0])


async def object_rows(engine: Engine, pin: int) -> list[tuple[int, int, str, float]]:
    rows = await engine.events.query(
        "SELECT object, version, label, confidence FROM objects FINAL WHERE pin = {pin:Int64} ORDER BY confidence DESC",
        {"pin": pin},
    )
    columns = (rows[name].tolist() for name in ("object", "version", "label", "confidence"))
    return list(zip(*columns, strict=True))


async def judged_row(engine: Engine, pin: int) -> tuple[int, float | None, str] | None:
    """(version, score, model) of ClickHouse's row, None where there is none."""
    rows = await engine.events.query(
        "SELECT version, unsafe, model FROM safety FINAL WHERE pin = {pin:Int64}", {"pin": pin}
    )
    if not rows:
        return None
    score = float(np.array(rows["unsafe"], np.float32)[0])
    return int(rows["version"][0]), None if np.isnan(score) else score, str(rows["model"][0])


async def held(engine: Engine, collection: str, *ids: int) -> set[int]:
    return set(await engine.vectors.fetch(collection, np.array(ids, np.int64)))


def object_ids(pin: int) -> list[int]:
    return [combined_id("object", pin, index) for index in range(understanding.MOST_OBJECTS)]


@pytest.mark.real
async def test_a_pin_is_understood_everywhere_then_updated_then_deleted(engine: Engine, said: Any) -> None:
    pin = 710_001
    assert (
        await vision.handle(engine, batch(accepted(pin, 10, f"file:examples/sample/photos/{PERSON}", title="Trousers")))
        == []
    )

    (message,) = map(json.loads, said("pin.understood", 1))
    assert (message["pin"], message["version"], message["encoder"], message["detector"]) == (pin, 10, "2", "1")
    assert message["safety"] == "1" and 0 < message["unsafe"] < 0.8
    assert await judged_row(engine, pin) == (10, message["unsafe"], "1")
    assert engine.state.safety.scores(np.array([pin])).tolist() == [np.float32(message["unsafe"])]
    assert not message["deleted"] and len(message["annotations"]) == len(message["confidences"])
    assert "person" in message["annotations"]
    labels = [found["label"] for found in message["objects"]]
    assert "person" in labels
    assert [found["object"] for found in message["objects"]] == object_ids(pin)[: len(labels)]
    stored = await object_rows(engine, pin)
    assert [(row[0], row[1], row[2]) for row in stored] == [
        (found["object"], 10, found["label"]) for found in message["objects"]
    ]
    assert await vector_row(engine, pin) == (10, "2", 256)
    assert await held(engine, "pins", pin) == {pin}
    assert await held(engine, "objects", *object_ids(pin)) == {found["object"] for found in message["objects"]}
    cached, found = engine.vector_cache.held(np.array([pin]))
    assert found.all() and abs(float(np.linalg.norm(cached[0].astype(np.float32))) - 1) < 1e-2

    # A newer version with another picture replaces the vector, and repeating it changes nothing.
    before = (await engine.vectors.fetch("pins", np.array([pin])))[pin]
    for _ in range(2):
        assert await vision.handle(engine, batch(accepted(pin, 20, inline(HAT)))) == []
    messages = [json.loads(value) for value in said("pin.understood", 2)]
    assert [message["version"] for message in messages] == [20, 20]
    after = (await engine.vectors.fetch("pins", np.array([pin])))[pin]
    assert float(before @ after) < 0.99
    current = {found["object"] for found in messages[0]["objects"]}
    assert await held(engine, "objects", *object_ids(pin)) == current
    assert {row[0] for row in await object_rows(engine, pin) if row[1] == 20} == current
    assert await vector_row(engine, pin) == (20, "2", 256)

    # A deletion leaves tombstones and nothing to be found.
    assert await vision.handle(engine, batch(accepted(pin, 30, deleted=True))) == []
    (message,) = map(json.loads, said("pin.understood", 1))
    assert message["deleted"] and message["objects"] == []
    assert (message["unsafe"], message["safety"]) == (None, "")
    assert await judged_row(engine, pin) == (30, None, "")
    assert np.isnan(engine.state.safety.scores(np.array([pin]))).all()
    assert await held(engine, "pins", pin) == set()
    assert await held(engine, "objects", *object_ids(pin)) == set()
    assert await vector_row(engine, pin) == (30, "", 0)
    assert {(row[1], row[2], row[3]) for row in await object_rows(engine, pin)} == {(30, "", 0.0)}
    assert not engine.vector_cache.held(np.array([pin]))[1].any()


@pytest.mark.real
async def test_windows_are_found_beside_objects_and_go_with_their_pin(engine: Engine) -> None:
    pin, plain = 715_001, 715_002
    await vision.handle(engine, batch(accepted(pin, 1, inline(PERSON)), accepted(plain, 1, inline(HAT))))
    places = range(understanding.MOST_OBJECTS, understanding.MOST_OBJECTS + understanding.MOST_SIDE**2)
    slots = [combined_id("object", pin, place) for place in places]
    kept = await held(engine, "objects", *slots)
    assert kept and kept <= set(slots[: engine.settings.object_windows**2])
    assert {row[2] for row in await object_rows(engine, pin)}.isdisjoint({""}), "windows are in Milvus alone"
    vectors = await engine.vectors.fetch("objects", np.array(sorted(kept)))
    near = await engine.vectors.search("objects", np.stack([*vectors.values()]), 1, fields=("pin", "label", "right"))
    assert near.ids[:, 0].tolist() == list(vectors) and set(near.fields["pin"][:, 0].tolist()) == {pin}
    assert set(near.fields["label"][:, 0].tolist()) == {""} and (near.fields["right"] > 0).all()
    await vision.handle(engine, batch(accepted(pin, 2, deleted=True)))
    assert not await held(engine, "objects", *slots)


@pytest.mark.real
async def test_a_text_spares_the_detector_where_that_is_asked_for(engine: Engine, said: Any) -> None:
    engine.settings = replace(engine.settings, two_step=0.5)
    titles = {730_001: "ADUM Rug, high pile", 730_002: "A man in trousers", 730_003: ""}
    pins = [accepted(pin, 1, inline(PERSON), title=title) for pin, title in titles.items()]
    assert await vision.handle(engine, batch(*pins)) == []
    messages = {message["pin"]: message for message in map(json.loads, said("pin.understood", 3))}
    assert {pin: message["detector"] for pin, message in messages.items()} == {
        730_001: "",
        730_002: "1",
        730_003: "1",
    }
    assert messages[730_001]["objects"] == []
    assert not await engine.events.query("SELECT object FROM objects WHERE pin = 730001", {})
    for pin in (730_002, 730_003):
        assert "person" in [found["label"] for found in messages[pin]["objects"]]
    # The whole picture has its vector whether or not the detector looked.
    assert await held(engine, "pins", *titles) == set(titles)


@pytest.mark.real
async def test_bad_pins_are_set_aside_and_their_neighbours_are_understood(engine: Engine, said: Any) -> None:
    photo = (PHOTOS / OTHER_PERSON).read_bytes()
    pins = [
        accepted(720_001, 1, inline(PERSON)),
        accepted(720_002, 1, "file:///etc/hostname"),
        accepted(720_003, 1, "data:image/jpeg;base64," + base64.b64encode(photo[: len(photo) // 2]).decode()),
        accepted(720_004, 1, "http://127.0.0.1:9/x.jpg"),
        accepted(720_005, 1, "data:image/png;base64," + base64.b64encode(b"no picture at all").decode()),
        accepted(720_006, 1, "file:examples/sample/photos/none.jpg"),
        accepted(720_007, 1, inline(OTHER_PERSON)),
        accepted(720_008, 1, None),
    ]
    rejects = await vision.handle(engine, batch(*pins, b"{not json", b'{"pin": "x", "version": 1}'))
    assert {reject.offset: str(reject.reason) for reject in rejects} == {
        101: "image_forbidden_path", 102: "image_truncated", 103: "image_private_address", 104: "image_not_an_image",
        105: "image_missing", 108: "bad_json", 109: "wrong_type",
    }  # fmt: skip
    letters = [decode_dead_letter(value) for value in said("dead.letters", 7)]
    assert {letter.offset: letter.reason for letter in letters} == {one.offset: str(one.reason) for one in rejects}
    understood = {message["pin"] for message in map(json.loads, said("pin.understood", 3))}
    assert understood == {720_001, 720_007, 720_008}  # a pin without a picture is no error
    assert await held(engine, "pins", *(pin.pin for pin in pins)) == {720_001, 720_007}


@pytest.mark.real
async def test_a_version_whose_picture_is_bad_does_not_keep_the_old_vector(engine: Engine, said: Any) -> None:
    pin = 730_001
    await vision.handle(engine, batch(accepted(pin, 1, inline(PERSON))))
    await vision.handle(engine, batch(accepted(pin, 2, "data:image/png;base64,AAAA")))
    assert await held(engine, "pins", pin) == set()
    assert await vector_row(engine, pin) == (2, "", 0)
    assert len(said("pin.understood", 1)) == 1


@pytest.mark.real
async def test_only_the_last_version_in_a_batch_is_looked_at(engine: Engine, said: Any) -> None:
    pin = 740_001
    await vision.handle(
        engine, batch(accepted(pin, 1, inline(PERSON)), accepted(pin, 2, inline(HAT)), accepted(pin, 3, deleted=True))
    )
    (message,) = map(json.loads, said("pin.understood", 1))
    assert (message["version"], message["deleted"]) == (3, True)
    assert await held(engine, "pins", pin) == set()


@pytest.mark.real
async def test_pins_wait_for_a_model_that_is_gone_and_are_never_dropped(
    engine: Engine, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton at an address where nobody listens; after a while it is back at its own."""
    pin, here = 750_001, engine.models
    away = TritonModels(replace(engine.settings, triton="127.0.0.1:9"))
    monkeypatch.setattr(engine, "models", away)
    task = asyncio.create_task(vision.handle(engine, batch(accepted(pin, 1, inline(PERSON)))))
    await asyncio.sleep(1.5)
    with pytest.raises(StoreUnavailable):
        await away.versions()
    assert not task.done()
    for call in ("detect", "encode", "judge", "versions"):
        monkeypatch.setattr(away, call, getattr(here, call))
    assert await asyncio.wait_for(task, 60) == []
    assert await held(engine, "pins", pin) == {pin}
    assert len(said("pin.understood", 1)) == 1
    await away.close()


@pytest.mark.real
@pytest.mark.parametrize("how", ["gone", "hung"])
async def test_without_the_safety_model_pins_are_understood_and_judged_when_they_come_again(
    engine: Engine, said: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    pin = 770_001 if how == "gone" else 770_002
    monkeypatch.setattr(pin_safety.beside, "__defaults__", (0.2,))
    model = TritonModels._model

    async def without(models: TritonModels, name: str) -> Any:
        if name == "safety" and how == "hung":
            await asyncio.sleep(60)
        return await model(models, "absent" if name == "safety" else name)

    with monkeypatch.context() as patch:
        patch.setattr(TritonModels, "_model", without)
        assert await vision.handle(engine, batch(accepted(pin, 1, inline(PERSON)))) == []
    (message,) = map(json.loads, said("pin.understood", 1))
    assert (message["unsafe"], message["safety"]) == (None, "") and message["objects"]
    assert await held(engine, "pins", pin) == {pin}
    assert await judged_row(engine, pin) is None
    assert b"pinstream_pins_unscored_total 1.0" in engine.metrics.exposition()
    assert engine.models.judging.opened > 0, "it is not waited for each time"
    await asyncio.sleep(1.2)  # the circuit rests, and the model by itself
    await vision.handle(engine, batch(accepted(pin, 1, inline(PERSON))))
    (message,) = map(json.loads, said("pin.understood", 1))
    assert message["unsafe"] is not None and await judged_row(engine, pin) == (1, message["unsafe"], "1")
    assert b"pinstream_pins_unscored_total 1.0" in engine.metrics.exposition()


@pytest.mark.real
async def test_looking_finds_a_pin_by_its_picture(engine: Engine) -> None:
    """The vectors in Milvus are those of the pictures: a photo scaled down finds its own pin first."""
    files = sorted(PHOTOS.glob("*.jpg"))[::40][:8]
    pins = [accepted(760_000 + at, 1, f"file:{file.relative_to(PROJECT)}") for at, file in enumerate(files)]
    assert await vision.handle(engine, batch(*pins)) == []
    smaller = [np.asarray(Image.open(file).convert("RGB").resize((128, 160))) for file in files]
    found = await engine.vectors.search("pins", await engine.models.encode(smaller), 1)
    assert found.ids[:, 0].tolist() == [pin.pin for pin in pins]
    assert (found.scores[:, 0] > 0.8).all()
