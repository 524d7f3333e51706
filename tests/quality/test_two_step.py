"""Two-step detection on real products: detector calls saved against objects lost, over the threshold.

The products of ``rooms`` have titles, types and descriptions. What the detector finds in a product's picture (the real
Triton, confidence as the engine keeps it) is what can be lost by not looking. Halves by CRC-32 of the id. Words and
their worth were written down before anything was measured, so both halves are unseen; the threshold is the reader's.

``PINSTREAM_FULL=1`` takes all 1,016 products; else a part of them.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from operators.annotations.words import Text, pin_text
from operators.vision.two_step import likely, worth_a_look
from streams.images.decode import decode_now
from streams.settings import Settings
from streams.stores.triton import TritonModels
from streams.understanding import LEAST_CONFIDENCE
from tests.quality.two_step_curve import Curve, curve

pytestmark = [pytest.mark.data, pytest.mark.real]

FULL = os.environ.get("PINSTREAM_FULL") == "1"
PRODUCTS = 1016 if FULL else 160
#: Objects of which a person would say that they are there, rather than what is kept.
SURE = 0.6
#: The threshold that is looked at: names in a description, and in a title beside another word, suffice.
AT = 0.3
#: Pictures that are in memory at once.
AT_ONCE = 32


async def test_calls_saved_against_objects_lost(triton: Settings, shared_data: Path) -> None:
    rows = json.loads((shared_data / "rooms" / "rooms.json").read_text())["products"]
    rows = sorted(rows, key=lambda row: zlib.crc32(row["id"].encode()))[:PRODUCTS]
    found = await confidences(triton, [shared_data / row["image"] for row in rows])
    texts = [pin_text(row["title"], row["description"]) for row in rows]
    validation = np.array([zlib.crc32(row["id"].encode()) % 2 == 0 for row in rows])
    for name, part in (("validation", validation), ("test", ~validation), ("all", validation | ~validation)):
        for least in (LEAST_CONFIDENCE, SURE):
            measured = of(texts, found, part, least)
            print(f"\n{name}, {part.sum()} products, {measured.objects} objects of confidence ≥ {least}\n{measured}")
    everything = of(texts, found, validation | ~validation, LEAST_CONFIDENCE).points
    assert everything[0] == (0.0, 0.0, 0.0), "at 0 nothing is spared and nothing lost"
    chosen = next(point for point in everything if point.threshold == AT)
    # Pictures whose text names nothing have fewer objects than the others: leaving out at random would lose as much.
    assert chosen.saved > 0.4 and chosen.lost < 0.85 * chosen.saved


def of(texts: Sequence[Text], found: Sequence[Sequence[float]], part: np.ndarray, least: float) -> Curve:
    chosen = np.flatnonzero(part).tolist()
    likelihoods = [best(texts[at]) for at in chosen]
    return curve(likelihoods, [sum(one >= least for one in found[at]) for at in chosen])


def best(text: Text) -> float:
    """How likely the likeliest label is; 1 where the text says nothing against a look."""
    if worth_a_look(text, 1.0):
        return 1.0
    said = likely(text)
    return said[0].likelihood if said else 0.0


async def confidences(settings: Settings, files: Sequence[Path]) -> list[list[float]]:
    """Of each picture the confidences of what the detector that Triton serves finds."""
    models = TritonModels(settings)
    try:
        found: list[list[float]] = []
        for start in range(0, len(files), AT_ONCE):
            pictures = [decode_now(file.read_bytes()) for file in files[start : start + AT_ONCE]]
            found += [[one.confidence for one in each] for each in await models.detect(pictures)]
        return found
    finally:
        await models.close()
