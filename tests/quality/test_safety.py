"""The safety model on real pictures, none of which is unsafe: false alarms, copies, and that it looks at all.

There are no unsafe pictures here, so what it finds of those cannot be told. A few hundred pictures are looked at;
``PINSTREAM_FULL=1`` takes all (``pytest -s`` prints the numbers of ``docs/safety.md``).
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from operators.safety import HARMLESS
from streams.images.decode import decode_now
from streams.settings import Settings
from streams.stores.triton import TritonModels

pytestmark = [pytest.mark.real, pytest.mark.data]
FULL = bool(os.environ.get("PINSTREAM_FULL"))
PHOTOS, PRODUCTS, COPIES = (1_776, 1_016, 100) if FULL else (200, 60, 24)
#: Pictures read at once.
CHUNK = 64


@pytest.fixture
async def models(triton: Settings) -> AsyncIterator[TritonModels]:
    opened = TritonModels(triton)
    yield opened
    await opened.close()


async def judged(models: TritonModels, files: list[Path]) -> NDArray[np.float64]:
    scores: list[float | None] = []
    for start in range(0, len(files), CHUNK):
        scores += await models.judge([decode_now(file.read_bytes()) for file in files[start : start + CHUNK]])
    assert None not in scores
    return np.array(scores, np.float64)


def some(files: list[Path], most: int) -> list[Path]:
    return [files[at] for at in np.random.default_rng(0).permutation(len(files))[:most]]


async def test_harmless_pictures_raise_hardly_an_alarm_and_clothes_more_than_furniture(
    models: TritonModels, shared_data: Path
) -> None:
    """Above .8 are .0011 of the photos and nothing else; means are .041, and .004 for furniture."""
    rows = json.loads((shared_data / "photos" / "labels.json").read_text())
    kinds = {str(shared_data / row["image"]): row["label"] for row in rows}
    photos = some([Path(file) for file in sorted(kinds)], PHOTOS)
    scores = {
        "photos": await judged(models, photos),
        "rooms": await judged(models, sorted((shared_data / "rooms" / "scenes").iterdir())),
        "products": await judged(models, some(sorted((shared_data / "rooms" / "products").iterdir()), PRODUCTS)),
        "boxes": await judged(models, sorted((shared_data / "boxes" / "images").iterdir())),
    }
    labels = np.array([kinds[str(file)] for file in photos])
    for label in np.unique(labels):
        scores[f"photos: {label}"] = scores["photos"][labels == label]
    for name, found in scores.items():
        above = [f"{(found > threshold).mean():.4f}" for threshold in (HARMLESS, 0.5, Settings.unsafe_above)]
        print(f"{name:20} n {len(found):5}  mean {found.mean():.4f}  above .2 .5 .8: {' '.join(above)}")
    assert (scores["photos"] > Settings.unsafe_above).mean() <= 0.005
    assert (scores["photos"] > HARMLESS).mean() <= 0.08
    for name in ("rooms", "products", "boxes"):
        assert scores[name].max() <= 0.5, name
    worn = np.isin(labels, ["pants", "shorts"])
    apart = np.isin(labels, ["shoes", "hat"])
    means = [scores["photos"][worn].mean(), scores["photos"][apart].mean(), scores["products"].mean()]
    assert means[0] > means[1] > means[2], "pants and shorts, then shoes and hats, then furniture"
    assert np.ptp(scores["photos"]) > 0.3


def as_jpeg(picture: Image.Image) -> Image.Image:
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=60)
    return Image.open(written).convert("RGB")


COPY: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half as large": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "JPEG of quality 60": as_jpeg,
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


async def test_copies_of_a_photo_score_nearly_the_same(models: TritonModels, shared_data: Path) -> None:
    """On average within .03, nineteen of twenty within .14; those in between harmless and unsafe move most."""
    files = some(sorted((shared_data / "photos").glob("*/*.jpg")), COPIES)
    pictures = [Image.fromarray(decode_now(file.read_bytes())) for file in files]
    first = np.array(await models.judge([np.asarray(picture) for picture in pictures]), np.float64)
    for name, copy in COPY.items():
        again = np.array(await models.judge([np.asarray(copy(picture)) for picture in pictures]), np.float64)
        apart = np.abs(again - first)
        print(f"{name:20} mean {apart.mean():.4f}  95 % {np.quantile(apart, 0.95):.4f}  most {apart.max():.4f}")
        assert apart.mean() <= 0.06 and np.quantile(apart, 0.9) <= 0.2, name
