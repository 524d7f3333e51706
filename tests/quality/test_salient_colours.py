"""Is the most salient colour of a product's photo the colour that its shop names?

Products of the rooms whose colour is one plain word, at most 20 of a word. A colour is called by the nearest of the
words' usual colours (CIE76). The words are a shop's, where brown may be nearly black, so no method is right always; the
mean of all pixels is asked too, to compare. The rooms are for evaluation only and never ship.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from operators.vision.colours import salient_palette, to_lab

pytestmark = pytest.mark.data

WORDS = {
    "Red": (190, 30, 40),
    "Green": (70, 140, 60),
    "Blue": (40, 80, 150),
    "Yellow": (245, 210, 50),
    "Black": (30, 30, 30),
    "White": (245, 245, 245),
    "Grey": (130, 130, 130),
    "Pink": (240, 150, 180),
    "Turquoise": (60, 170, 170),
    "Beige": (215, 195, 160),
    "Brown": (100, 65, 40),
}
MOST = 20


def products(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    seen: Counter[str] = Counter()
    for row in json.loads((folder / "rooms" / "rooms.json").read_text())["products"]:
        word = row["color"]
        seen[word] += 1
        if word in WORDS and seen[word] <= MOST:
            yield word, np.asarray(Image.open(folder / row["image"]).convert("RGB"))


def test_the_first_colour_is_the_products_far_more_often_than_the_mean_is(shared_data: Path):
    names, known = list(WORDS), to_lab(np.array(list(WORDS.values()), np.uint8))

    def called(lab: np.ndarray) -> str:
        return names[int(np.linalg.norm(known - lab, axis=1).argmin())]

    right: Counter[str] = Counter()
    photos = list(products(shared_data))
    for word, pixels in photos:
        palette = salient_palette(pixels)
        right["first"] += called(palette.lab[0]) == word
        right["first two"] += word in map(called, palette.lab[:2])
        right["mean of all pixels"] += called(to_lab(pixels.mean(axis=(0, 1)))) == word
    shares = {name: round(count / len(photos), 3) for name, count in right.items()}
    print(f"\nproducts {len(photos)}, colour as named: {shares}")
    assert shares["first"] >= 1.5 * shares["mean of all pixels"]
