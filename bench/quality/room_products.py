"""The products of the rooms as pins: their texts with and without their type, and what counts as the right answer."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np

from operators.annotations.dictionary import Dictionary
from operators.annotations.words import BREAK, Text, pin_text, words
from streams.images.decode import decode_now
from streams.settings import Settings
from streams.stores.triton import TritonModels

#: Products are drawn into two halves: constants were chosen on the first, figures are those of the second.
SEED = 0


class RoomProducts:
    """1,016 products, or those whose type at least ``often`` of them have.

    ``key`` is the type up to its first comma ("rug" of "Rug, flatwoven").
    """

    def __init__(self, data: Path, often: int = 1) -> None:
        self._folder = data
        read = json.loads((data / "rooms" / "rooms.json").read_text())
        count = Counter(_runs(product["type"])[0] for product in read["products"])
        self.products = [each for each in read["products"] if count[_runs(each["type"])[0]] >= often]
        types = [_runs(product["type"]) for product in self.products]
        self.key = [runs[0] for runs in types]
        self.right = [{runs[0], " ".join(runs)} for runs in types]
        order = np.random.default_rng(SEED).permutation(len(self.products))
        self.validation, self.test = np.split(order, 2)
        row = {product["id"]: at for at, product in enumerate(self.products)}
        self.mates: dict[int, list[int]] = {}
        for room in read["rooms"]:
            for name in room["products"]:
                if name in row:
                    others = [row[other] for other in room["products"] if other != name and other in row]
                    self.mates.setdefault(row[name], []).extend(others)

    def texts(self, *, hidden: bool, description: bool = True) -> list[Text]:
        """Words of every product; every title ends in its type, which ``hidden`` takes off."""
        return [
            pin_text(
                re.sub(rf"\s*{re.escape(each['type'])}\s*$", "", each["title"]) if hidden else each["title"],
                each["description"] if description else "",
            )
            for each in self.products
        ]

    async def vectors(self, settings: Settings) -> np.ndarray:
        """``(n, d)`` float32, L2-normalised, of the pictures, by the encoder that Triton serves."""
        models = TritonModels(settings)
        try:
            pictures = [decode_now((self._folder / each["image"]).read_bytes()) for each in self.products]
            return await models.encode(pictures)
        finally:
            await models.close()


def dictionary_of(texts: list[Text]) -> Dictionary:
    dictionary = Dictionary()
    for text in texts:
        dictionary.add(np.array(text.ids), np.array([len(text.ids)]))
    return dictionary


def _runs(text: str) -> list[str]:
    parts = groupby(words(text), key=lambda word: word == BREAK)
    return [" ".join(run) for is_break, run in parts if not is_break]
