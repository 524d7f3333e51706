"""Salient colours: of made pictures whose colours are known, and of product photos whose shop names the colour.

The made pictures are in ``made_pictures.py``. Of the products of the rooms those whose colour is one plain word are
asked, at most 20 of a word. A colour is called by the nearest of the words' usual colours (CIE76). The words are a
shop's, where brown may be nearly black, so no method is right always; the mean of all pixels is asked too, to compare.
The rooms are for evaluation only and never ship.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from bench.quality.figure import Figure, Given
from bench.quality.made_pictures import HARMS, PICTURES
from operators.vision.colours import salient_palette, to_lab

#: Distance in CIELAB (CIE76) within which a colour is found.
FOUND = 5.0
SEEDS = 30
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


class Palette(NamedTuple):
    """How far the farthest known colour of a made picture is from the palette, and where each was found."""

    farthest: float
    places: list[int]


def of_made(kind: str, harm: str, seed: int) -> Palette:
    """Find the colours of one made picture."""
    draw = np.random.default_rng(seed)
    made = HARMS[harm](PICTURES[kind](draw), draw)
    apart = np.linalg.norm(to_lab(made.colours)[:, None] - salient_palette(made.pixels).lab, axis=2)
    return Palette(float(apart.min(axis=1).max()), apart.argmin(axis=1).tolist())


def of_products(folder: Path) -> tuple[dict[str, float], int]:
    """Share of products whose colour is as named, by way of finding it; and how many products. ``folder`` is rooms."""
    names, known = list(WORDS), to_lab(np.array(list(WORDS.values()), np.uint8))

    def called(lab: np.ndarray) -> str:
        return names[int(np.linalg.norm(known - lab, axis=1).argmin())]

    right: Counter[str] = Counter()
    photos = list(_products(folder))
    for word, pixels in photos:
        palette = salient_palette(pixels)
        right["first"] += called(palette.lab[0]) == word
        right["first two"] += word in map(called, palette.lab[:2])
        right["mean of all pixels"] += called(to_lab(pixels.mean(axis=(0, 1)))) == word
    return {name: count / len(photos) for name, count in right.items()}, len(photos)


def figures(given: Given) -> list[Figure]:
    """The largest distance over the made pictures of each harm (one value a kind), and the shares of the products."""
    seeds = range(5 if given.quick else SEEDS)
    rows: list[Figure] = []
    for harm in HARMS:
        worst = max(of_made(kind, harm, seed).farthest for kind in PICTURES for seed in seeds)
        over = f"{len(PICTURES) * len(seeds)} made pictures"
        rows.append(Figure("colours", f"largest ΔE, {harm}", "made", (worst,), over, most=FOUND))
    shares, count = of_products(given.folder("rooms"))
    over = f"{count} product photos"
    rows += [Figure("colours", f"as the shop names it: {way}", "all", (share,), over) for way, share in shares.items()]
    return rows


def _products(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    seen: Counter[str] = Counter()
    for row in json.loads((folder / "rooms.json").read_text())["products"]:
        word = row["color"]
        seen[word] += 1
        if word in WORDS and seen[word] <= MOST:
            yield word, np.asarray(Image.open(folder.parent / row["image"]).convert("RGB"))
