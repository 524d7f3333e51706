"""The detector, the encoder and the safety model as a real Triton serves them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.quality.detection import looked
from streams.images.decode import decode_now
from streams.settings import PROJECT, Settings
from streams.stores import triton as client
from streams.stores.protocols import Detection, StoreUnavailable
from streams.stores.triton import TritonModels

pytestmark = pytest.mark.real
#: What onnxruntime 1 makes of the weights' own file for photos of the sample.
SCORES = {
    "007-shirt.jpg": 0.52870,
    "127-pants.jpg": 0.45955,
    "222-dress.jpg": 0.44041,
    "198-pants.jpg": 0.35418,
    "262-hat.jpg": 0.33819,
    "068-pants.jpg": 0.01394,
    "281-hat.jpg": 0.00011,
    "312-dress.jpg": 0.00007,
}


@pytest.fixture
async def models(triton: Settings) -> AsyncIterator[TritonModels]:
    opened = TritonModels(triton)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def photos() -> list[NDArray[np.uint8]]:
    """Nine of the sample's photos, of differing shape."""
    files = sorted((PROJECT / "examples").rglob("*.jpg"))[:9]
    assert len(files) == 9, "the sample in examples/ has no photos"
    found = [decode_now(file.read_bytes()) for file in files]
    found[1] = np.ascontiguousarray(found[1][:, :90])
    found[2] = np.ascontiguousarray(found[2][:70])
    return found


async def test_versions(models: TritonModels) -> None:
    versions = await models.versions()
    assert versions["detector"] == "1" and versions["encoder"] == "2"
    assert versions["safety"] == "1"
    asked = models._versions_at
    assert await models.versions(at_most_old=60) == versions and models._versions_at == asked, "no need to ask again"
    assert await models.versions() == versions and models._versions_at > asked


async def test_vectors_are_unit_length_and_the_same_in_any_batch(models, photos) -> None:
    together = await models.encode(photos)
    assert together.shape == (9, 256) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([await models.encode([photo]) for photo in photos])
    np.testing.assert_allclose(alone, together, atol=1e-4)
    cosines = together @ together.T
    assert (cosines - np.eye(9)).max() < 0.999  # nine photos, nine vectors


async def test_an_image_lies_closer_to_itself_scaled_down_than_to_others(models, photos) -> None:
    smaller = [np.asarray(Image.fromarray(photo).resize((150, 150))) for photo in photos]
    nearest = (await models.encode(smaller)) @ (await models.encode(photos)).T
    assert nearest.argmax(1).tolist() == list(range(9))


async def test_objects_are_the_same_in_any_batch(models, photos) -> None:
    together = await models.detect(photos)
    alone = [(await models.detect([photo]))[0] for photo in photos]
    for one, other in zip(alone, together, strict=True):
        assert [found.label for found in one] == [found.label for found in other]
        np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-4)
        assert all(0 <= edge <= 1 for found in one for edge in found.box)
        assert [found.confidence for found in one] == sorted((found.confidence for found in one), reverse=True)
    assert any(together)


def numbers(found: list[Detection]) -> NDArray[np.float64]:
    return np.array([[one.confidence, *one.box] for one in found]).reshape(-1, 5)


async def test_scores_are_those_of_the_file_itself_whatever_the_batch(models) -> None:
    """What the ONNX file says in onnxruntime of the same pixels (``docs/safety.md``); bfloat16 has three digits."""
    files = {name: PROJECT / "examples" / "sample" / "photos" / name for name in SCORES}
    pictures = [decode_now(file.read_bytes()) for file in files.values()]
    together = np.array(await models.judge(pictures))
    print(dict(zip(SCORES, together.tolist(), strict=True)))
    np.testing.assert_allclose(together, list(SCORES.values()), atol=0.02)
    alone = np.concatenate([await models.judge([picture]) for picture in pictures])
    np.testing.assert_allclose(alone, together, atol=1e-4)


async def test_nothing_in_nothing_out(models) -> None:
    assert await models.judge([]) == []
    assert await models.detect([]) == []
    assert (await models.encode([])).shape[0] == 0


async def test_a_bad_image_spoils_no_other(models, photos) -> None:
    bad = np.zeros((0, 10, 3), np.uint8)
    vectors = await models.encode([photos[0], bad, photos[1]])
    assert np.isnan(vectors).all(1).tolist() == [False, True, False]
    np.testing.assert_allclose(vectors[[0, 2]], await models.encode(photos[:2]), atol=1e-4)
    assert [score is None for score in await models.judge([photos[0], bad, photos[1]])] == [False, True, False]
    found = await models.detect([photos[0], bad, photos[1]])
    assert found[1] == [] and [found[0], found[2]] == await models.detect(photos[:2])


async def test_an_image_that_the_server_refuses_spoils_no_other(models, photos, monkeypatch) -> None:
    """One image is sent in a shape that the model does not take, so that Triton itself refuses its batch."""
    original, refused = client.stretch, photos[1]

    def wrong(images, height, width):
        size = height - 1 if any(image is refused for image in images) else height
        return original(images, size, width)

    monkeypatch.setattr(client, "stretch", wrong)
    vectors = await models.encode(photos[:3])
    assert np.isnan(vectors).all(1).tolist() == [False, True, False]


async def test_batches_are_formed_from_requests_that_wait_together(models, photos, triton: Settings) -> None:
    def counts() -> tuple[int, int]:
        url = f"http://{triton.host}:{triton.port('triton_http')}/v2/models/encoder/stats"
        (stats,) = json.load(urlopen(url))["model_stats"]
        return int(stats["inference_count"]), int(stats["execution_count"])

    images_before, runs_before = await asyncio.to_thread(counts)
    clients = [TritonModels(triton) for _ in range(8)]
    await asyncio.gather(*(one.encode([photo]) for one, photo in zip(clients * 3, photos * 3, strict=False)))
    for one in clients:
        await one.close()
    images, runs = await asyncio.to_thread(counts)
    assert images - images_before == 24
    assert runs - runs_before < 24


async def test_a_server_that_is_gone_fails_fast_and_says_when_to_ask_again(triton: Settings, photos) -> None:
    models = TritonModels(replace(triton, triton="127.0.0.1:9"))
    try:
        calls = (models.encode(photos[:1]), models.detect(photos[:1]), models.judge(photos[:1]), models.versions())
        for call in calls:
            with pytest.raises(StoreUnavailable, match="triton"):
                await call
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            await models.encode(photos[:1])
        assert 0 < caught.value.retry_after <= client.REST_SECONDS
        assert time.monotonic() - began < client.REST_SECONDS, "it connected again instead of resting"
    finally:
        await models.close()


async def test_a_model_that_does_not_exist_leaves_the_others_alone(models, photos, monkeypatch) -> None:
    with pytest.raises(StoreUnavailable, match="absent"):
        await models._model("absent")
    assert (await models.encode(photos[:1])).shape == (1, 256)


async def test_pictures_are_fitted_in_batches_beside_the_event_loop(
    models: TritonModels, photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a picture costs before a model sees it is paid in threads, for as many pictures as one request takes."""
    fitted: dict[str, list[tuple[int, bool]]] = {"letterbox": [], "stretch": []}
    loop = threading.current_thread()
    for name, calls in fitted.items():
        real = getattr(client, name)

        def fit(images, *size, real=real, calls=calls):
            calls.append((len(images), threading.current_thread() is loop))
            return real(images, *size)

        monkeypatch.setattr(client, name, fit)
    await asyncio.gather(models.detect(photos), models.encode(photos))
    most = {name: (await models._model(name)).most for name in ("detector", "encoder")}
    assert len(photos) > most["detector"], "too few photos for two requests"
    assert [n for n, _ in fitted["letterbox"]] == [most["detector"], len(photos) - most["detector"]]
    assert [n for n, _ in fitted["stretch"]] == [len(photos)]
    assert not any(on_the_loop for calls in fitted.values() for _, on_the_loop in calls)


# --- on real data


@pytest.mark.data
async def test_the_detector_finds_what_people_marked(triton: Settings, shared_data: Path) -> None:
    """AP50 over the 126 photos with COCO boxes; .51 was measured."""
    found = await looked(triton, shared_data / "boxes")
    assert len(found.photos) == 126
    print(f"AP50 {found.precision():.4f}")
    assert found.precision() >= 0.40


@pytest.mark.data
async def test_neighbours_are_of_the_same_kind(models, shared_data: Path) -> None:
    """Of 300 clothing photos of 10 classes, most have a nearest neighbour of their own class (chance: .1)."""
    rows = json.loads((shared_data / "photos" / "labels.json").read_text())
    rows = [rows[at] for at in np.random.default_rng(0).permutation(len(rows))[:300]]
    vectors = await models.encode([decode_now((shared_data / row["image"]).read_bytes()) for row in rows])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    labels = np.array([row["label"] for row in rows])
    right = (labels[cosines.argmax(1)] == labels).mean()
    print(f"nearest neighbour of the same class: {right:.3f}")
    assert right >= 0.55
