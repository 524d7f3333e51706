"""The benches of the visual half: both sides of a comparison run, and the photos that are asked are new ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bench._filled import PHOTOS, _like, percentiles, taken_anew
from bench.findable import _new
from bench.triton import NAMES, Config, compared
from operators.accepted import AcceptedPin
from operators.identity import combined_id
from operators.vision.canonical import NEAR
from operators.vision.fingerprint import distances, fingerprint
from streams.images.decode import decode_now
from streams.settings import Settings
from streams.stores.protocols import Detection
from streams.understanding import SeenObject, Understanding


@pytest.mark.real
@pytest.mark.parametrize("name", NAMES)
async def test_triton_and_the_plain_loop_both_serve_the_model(triton: Settings, name: str) -> None:
    found = await compared(triton, name, 0.1, 1, (1, 2))
    assert found["Triton images/s"] > 0 and found["torch images/s"] > 0 and found["best batch"] in (1, 2)
    assert found["CPU ms"] > 0 and found["torch CPU ms"] > 0
    assert found["batch"] == Config.of(triton, name).most and "thread" in found["on"]


def test_a_photo_taken_anew_is_no_near_duplicate() -> None:
    draw = np.random.default_rng(0)
    for file in PHOTOS[:20]:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        again = taken_anew(picture, draw, 400)
        assert max(again.size) == 400
        assert distances(fingerprint(np.asarray(again)), fingerprint(np.asarray(picture))[None])[0] > NEAR


def test_a_new_pin_and_its_crop_are_pictures() -> None:
    new = _new(3, np.random.default_rng(0))
    whole, crop = decode_now(new.picture), decode_now(new.crop)
    assert crop.shape[0] == pytest.approx(0.8 * whole.shape[0], abs=2)
    assert crop.shape[1] == pytest.approx(0.8 * whole.shape[1], abs=2)


def test_a_pin_made_after_another_is_near_it_under_its_own_ids() -> None:
    unit = np.eye(256, dtype=np.float32)
    one = Understanding(
        AcceptedPin(pin=1, version=1),
        unit[0],
        [SeenObject(5, Detection("cup", 0.9, (0, 0, 1, 1)), unit[1])],
        [SeenObject(6, Detection("", 0.0, (0, 0, 1, 1)), unit[2])],
    )
    made = _like(one, 7, np.random.default_rng(0))
    assert made.pin.pin == 7 and made.vector is not None and 0.8 < made.vector @ unit[0] < 0.97
    assert made.objects[0].object != made.windows[0].object
    assert made.objects[0].object == combined_id("object", 7, 0) and made.objects[0].detection.label == "cup"
    assert _like(replace(one, vector=None), 7, np.random.default_rng(0)).vector is None


def test_percentiles_of_nothing_are_none() -> None:
    assert percentiles([]) == {"p50": None, "p99": None}
    assert percentiles([1.0, 2.0, 3.0])["p50"] == 2.0
