"""Lens over real vectors in Milvus Lite, with models whose answers are known."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from operators.accepted import AcceptedPin
from operators.annotations.words import word_id
from streams import lens_recall
from streams.circuit import Circuit
from streams.engine import Engine
from streams.images.rejection import ImageRejected
from streams.lens import REFUSED, look
from streams.lens_looks import similar_looks
from streams.lens_objects import nearest_objects, scenes
from streams.lens_photo import WHOLE
from streams.lens_pins import PinObject
from streams.lens_recall import Recall
from streams.opening import close_engine
from streams.pin_words import Stage, take
from streams.stores.milvus import MilvusVectors
from streams.stores.protocols import Detection, StoreUnavailable
from streams.understanding import SeenObject, Understanding, record_vectors
from tests.streams.serving import NOW, free_port, make_engine, nowhere, pin, remember

RED, GREEN, BLUE = np.eye(3, dtype=np.uint8) * 255
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
GONE = 5


class Eyes:
    """A detector that sees a thing in each half of a picture, and an encoder that sees colours."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.unsafe, self.judging = 0.1, Circuit("safety")
        self.encoded = 0

    async def versions(self, at_most_old: float = 0.0) -> dict[str, str]:
        return {"detector": "1", "encoder": "1"}

    async def detect(self, images):
        if "detector" in self.gone:
            raise StoreUnavailable("triton", "gone")
        return [[Detection("vase", 0.9, LEFT), Detection("chair", 0.8, RIGHT)] for _ in images]

    async def encode(self, images):
        if "encoder" in self.gone:
            raise StoreUnavailable("triton", "gone")
        self.encoded += len(images)
        means = np.array([image.reshape(-1, 3).mean(axis=0) for image in images], np.float32) + 1
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    async def judge(self, images):
        if "safety" in self.gone:
            raise StoreUnavailable("triton", "gone")
        if "slow safety" in self.gone:
            await asyncio.sleep(60)
        return [self.unsafe for _ in images]

    async def close(self) -> None: ...


def picture(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full((40, 30, 3), left), np.full((40, 30, 3), right)], axis=1).astype(np.uint8)


#: What stands left and right in each pin.
PINS = {1: (RED, GREEN), 2: (RED, BLUE), 3: (BLUE, BLUE), 4: (GREEN, RED), GONE: (RED, GREEN)}


@pytest.fixture
async def engine(tmp_path: Path):
    engine = make_engine(nowhere(tmp_path, milvus="lite"))
    engine.models = Eyes()  # type: ignore[assignment]
    remember(engine.state, "pins", *(pin(number) for number in PINS))
    remember(engine.state, "pins", pin(GONE, type="deleted", time=NOW))
    await record_vectors(engine.vectors, [await seen(engine.models, *each) for each in PINS.items()])
    yield engine
    await close_engine(engine)


async def seen(eyes: Eyes, number: int, sides: tuple[np.ndarray, np.ndarray]) -> Understanding:
    image = picture(*sides)
    whole, *parts = await eyes.encode([image, image[:, :30], image[:, 30:]])
    [found] = await eyes.detect([image])
    objects = [SeenObject(number * 10 + at, one, parts[at]) for at, one in enumerate(found)]
    return Understanding(AcceptedPin(pin=number, version=1), whole, objects)


async def asked(engine: Engine, image: np.ndarray, box=WHOLE, recall: Recall | None = None):
    return await look(engine, recall or Recall(), image, box, 0, 10)


async def test_a_photo_finds_pins_by_looks_and_scenes_by_objects(engine: Engine):
    found = await asked(engine, picture(RED, GREEN))
    shown = [hit.pin for hit in found.hits]
    assert sorted(shown) == [1, 2, 3, 4], "each living pin once"
    assert shown[0] == 1 and {hit.source for hit in found.hits} == {"visual", "objects"}
    assert [(one.label, one.box) for one in found.objects] == [("vase", LEFT), ("chair", RIGHT)]
    assert sum(found.ratios.values()) == pytest.approx(1) and found.category == "vase"
    for hit in found.hits:
        if hit.source == "objects":
            assert hit.label and hit.box in (LEFT, RIGHT) and hit.query in (0, 1)
        else:
            assert hit.box == WHOLE and hit.query is None


async def test_scenes_with_every_object_come_before_scenes_with_one(engine: Engine):
    vectors = np.stack([one.vector for one in (await seen(engine.models, 9, (GREEN, RED))).objects])
    ranked = await scenes(engine, vectors, np.array([0.5, 0.5]), 10)
    assert {one.hit.scene for one in ranked[:2]} == {1, 4} and GONE not in {one.hit.scene for one in ranked}
    assert ranked[0].score > ranked[2].score


async def test_a_box_is_what_is_searched_for(engine: Engine):
    found = await asked(engine, picture(RED, BLUE), RIGHT)
    best = next(hit for hit in found.hits if hit.source == "objects")
    assert best.pin in (2, 3) and best.similarity == pytest.approx(1, abs=1e-3)
    assert all(one.box[0] >= 0.5 for one in found.objects), "boxes are of the whole picture"
    cut_out = await asked(engine, picture(RED, BLUE)[:, 30:])
    assert found.ratios == pytest.approx(cut_out.ratios) and [each.pin for each in found.hits] == [
        each.pin for each in cut_out.hits
    ]


async def test_labels_and_pins_that_are_left_out(engine: Engine):
    vector = np.stack([(await seen(engine.models, 9, (RED, RED))).objects[0].vector])
    chairs = await nearest_objects(engine, vector, 10, ["chair"])
    assert {one.label for one in chairs} == {"chair"} and chairs[0].scene == 4
    assert 4 not in {one.scene for one in await nearest_objects(engine, vector, 10, without=[4])}


async def test_similar_looks_are_of_things_that_are_worn(engine: Engine):
    dots = [PinObject(10, "chair", 0.9, LEFT), PinObject(11, "handbag", 0.9, RIGHT)]
    [dot] = await similar_looks(engine, 1, dots, 5)
    assert dot.object.label == "handbag" and dot.hits == [], "no other pin has a handbag"


async def test_without_the_detector_the_photo_is_one_object(engine: Engine):
    engine.models.gone = {"detector"}  # type: ignore[attr-defined]
    found = await asked(engine, picture(BLUE, BLUE))
    assert "detector" in found.degraded and not found.objects and found.category == ""
    assert found.hits[0].pin == 3
    assert all(hit.query is None for hit in found.hits)


@pytest.mark.parametrize("how", ["safety", "slow safety"])
async def test_without_the_safety_model_the_answer_says_so(engine: Engine, how: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streams.lens_query.GRACE_SECONDS", 0.05)
    engine.models.gone = {how}  # type: ignore[attr-defined]
    recall = Recall()
    found = await asked(engine, picture(RED, GREEN), recall=recall)
    assert "safety" in found.degraded and found.unsafe is None and found.hits
    assert (engine.models.judging.opened > 0) == (how == "slow safety"), "what is slow is not waited for again"
    engine.models.gone = set()  # type: ignore[attr-defined]
    assert (await asked(engine, picture(RED, GREEN), recall=recall)).unsafe == 0.1, "it was not remembered without"


async def test_unsafe_pins_are_not_found_and_an_unsafe_photo_finds_nothing(engine: Engine):
    engine.state.safety.take(np.array([1]), np.ones(1, np.int64), np.array([0.9], np.float32))
    found = await asked(engine, picture(RED, GREEN))
    assert found.hits and 1 not in {hit.pin for hit in found.hits} and found.unsafe == 0.1
    engine.models.unsafe = 0.9  # type: ignore[attr-defined]
    refused = await asked(engine, picture(RED, GREEN))
    assert refused.hits == [] and refused.unsafe == 0.9 and refused.objects and REFUSED in refused.reasons
    assert refused.degraded == [] and REFUSED not in found.reasons


async def test_without_the_encoder_only_what_was_seen_before_is_answered(engine: Engine):
    recall, photo = Recall(), picture(RED, GREEN)
    first = await asked(engine, photo, recall=recall)
    engine.models.gone = {"detector", "encoder"}  # type: ignore[attr-defined]
    again = await asked(engine, photo, recall=recall)
    assert again.remembered and not first.remembered and again.hits == first.hits
    with pytest.raises(StoreUnavailable, match="triton"):
        await asked(engine, photo, LEFT, recall)


async def test_a_picture_that_was_sent_before_is_not_decoded_again(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    recall, content = Recall(), BytesIO()
    Image.fromarray(picture(RED, GREEN)).save(content, "PNG")
    first = await look(engine, recall, content.getvalue(), WHOLE, 0, 10)
    assert not first.remembered and {"decode", "detect", "encode", "colours"} <= set(first.milliseconds)

    async def refuse(_: bytes):
        raise AssertionError("decoded again")

    monkeypatch.setattr(lens_recall, "decode", refuse)
    again = await look(engine, recall, content.getvalue(), WHOLE, 0, 10)
    assert again.remembered and again.hits == first.hits and again.objects == first.objects
    assert set(again.milliseconds) == {"understand", "search", "visual", "objects", "text", "blend"}
    for other, box in ((content.getvalue() + b"\0", WHOLE), (content.getvalue(), LEFT)):
        with pytest.raises(AssertionError, match="again"):
            await look(engine, recall, other, box, 0, 10)
    # Another model has not seen it.
    monkeypatch.setattr(engine.models, "versions", lambda _=0.0: asyncio.sleep(0, {"detector": "1", "encoder": "2"}))
    with pytest.raises(AssertionError, match="again"):
        await look(engine, recall, content.getvalue(), WHOLE, 0, 10)


async def test_a_full_memory_forgets_the_oldest(engine: Engine):
    recall, eyes = Recall(capacity=2), engine.models
    for number, sides in enumerate([(RED, RED), (BLUE, BLUE), (RED, RED), (GREEN, GREEN), (RED, RED), (BLUE, BLUE)]):
        found = await asked(engine, picture(*sides), recall=recall)
        assert found.remembered == (number in (2, 4))
    assert eyes.encoded > 0  # type: ignore[attr-defined]


async def test_without_milvus_words_alone_answer(engine: Engine):
    there = engine.vectors
    engine.vectors = MilvusVectors(replace(engine.settings, milvus=f"http://127.0.0.1:{free_port()}"))
    found = await asked(engine, picture(RED, GREEN))
    assert found.degraded == ["objects", "visual"] and found.ratios == {"visual": 0, "objects": 0, "text": 1}
    with pytest.raises(StoreUnavailable, match="milvus"):
        await nearest_objects(engine, np.ones((1, 3), np.float32), 5)
    engine.vectors = there


async def test_what_the_encoder_refuses_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    async def refuse(images):
        await asyncio.sleep(0)
        return np.full((len(images), 3), np.nan, np.float32)

    monkeypatch.setattr(engine.models, "encode", refuse)
    with pytest.raises(ImageRejected, match="refuses"):
        await asked(engine, picture(RED, GREEN))


async def test_words_for_what_is_seen_find_pins_that_have_no_picture(engine: Engine):
    remember(engine.state, "pins", pin(6), pin(7))
    said = {"pin": [6, 7], "stage": [Stage.OWN] * 2, "version": engine.state.catalogue.versions(np.array([6, 7]))}
    words = [np.array([word_id("vase")]), np.array([word_id("vase")])]
    take(engine.state.texts, engine.state.catalogue, said | {"words": words, "fields": [np.zeros(1, np.uint8)] * 2})
    remember(engine.state, "pins", pin(7, type="deleted", time=NOW))
    found = await asked(engine, picture(RED, GREEN))
    assert [(hit.pin, hit.box, hit.query) for hit in found.hits if hit.source == "text"] == [(6, WHOLE, None)]
    assert found.ratios["text"] > 0 and found.degraded == []
