"""The products of the rooms as pins: their texts with and without their type, and what counts as the right answer."""

from __future__ import annotations

import json
import os
import re
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from operators.annotations.dictionary import Dictionary
from operators.annotations.words import BREAK, Text, pin_text, words

#: Products are drawn into two halves: constants were chosen on the first, figures are those of the second.
SEED = 0


class RoomProducts:
    """1,016 products; ``key`` is the type up to its first comma ("rug" of "Rug, flatwoven")."""

    def __init__(self, data: Path) -> None:
        read = json.loads((data / "rooms" / "rooms.json").read_text())
        self.products = read["products"]
        types = [_runs(product["type"]) for product in self.products]
        self.key = [runs[0] for runs in types]
        self.right = [{runs[0], " ".join(runs)} for runs in types]
        order = np.random.default_rng(SEED).permutation(len(self.products))
        self.validation, self.test = np.split(order, 2)
        row = {product["id"]: at for at, product in enumerate(self.products)}
        self.mates: dict[int, list[int]] = {}
        for room in read["rooms"]:
            for name in room["products"]:
                others = [row[other] for other in room["products"] if other != name]
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

    def vectors(self) -> np.ndarray:
        """``(1016, d)`` of the pictures, from the file that PINSTREAM_ROOM_VECTORS names; skips without."""
        file = os.environ.get("PINSTREAM_ROOM_VECTORS")
        if not file:
            pytest.skip(
                "PINSTREAM_ROOM_VECTORS names no file with a vector (float32, .npy) for each product of rooms.json"
            )
        found = np.load(file).astype(np.float64)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def dictionary_of(texts: list[Text]) -> Dictionary:
    dictionary = Dictionary()
    for text in texts:
        dictionary.add(np.array(text.ids), np.array([len(text.ids)]))
    return dictionary


def _runs(text: str) -> list[str]:
    parts = groupby(words(text), key=lambda word: word == BREAK)
    return [" ".join(run) for is_break, run in parts if not is_break]
