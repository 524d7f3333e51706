"""What the unified embedding learns from: pictures with labels, one task for each kind of label.

``browse``   which kind of clothing a photo shows (a folder with ``labels.json``)
``type``     which kind of product a catalogue picture shows (``rooms.json``)
``together`` which products people put together: a cluster of co-saves, here the room that a product stands in
``exact``    which picture it is, whatever a camera did to it: of all the pictures of the other tasks
A file of JSON lines ``{"image": …, "task": …, "label": …, "part": "train" | "test"}`` adds tasks of one's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Of what a data set does not part itself, every so-manieth picture (by hash) is for the test.
ONE_IN = 2


class Task(NamedTuple):
    """``pictures`` and ``labels`` go together; ``test`` marks those that training never sees."""

    name: str
    pictures: list[Path]
    labels: list[str]
    test: NDArray[np.bool_]


def photos(folder: Path) -> list[Task]:
    """The task ``browse`` of a folder with ``labels.json``: rows of image (below the folder above), label, split."""
    rows = json.loads((folder / "labels.json").read_text())
    test = np.array([row["split"] != "train" for row in rows])
    return [Task("browse", [folder.parent / row["image"] for row in rows], [row["label"] for row in rows], test)]


def rooms(folder: Path) -> list[Task]:
    """The tasks ``type`` and ``together`` of a folder with ``rooms.json``; half of the products are held out.

    A product of several rooms counts to the first; types and rooms with one product teach nothing and are left out.
    """
    read = json.loads((folder / "rooms.json").read_text())
    products = {row["id"]: row for row in read["products"]}
    first: dict[str, str] = {}
    for room in read["rooms"]:
        for product in room["products"]:
            first.setdefault(product, room["image"])
    labels = {"type": {id_: row["type"] for id_, row in products.items()}, "together": first}
    return [_of_products(folder, name, products, of) for name, of in labels.items()]


def exact(tasks: Sequence[Task]) -> Task:
    """The task ``exact`` of all pictures of other tasks; one that any of them tests is for the test."""
    test: dict[Path, bool] = {}
    for task in tasks:
        for picture, held_out in zip(task.pictures, task.test.tolist(), strict=True):
            test[picture] = test.get(picture, False) or held_out
    return Task("exact", list(test), list(map(str, test)), np.array(list(test.values())))


def lines(path: Path) -> list[Task]:
    """The tasks of a file of JSON lines. Raises ValueError naming the line that cannot be read."""
    found: dict[str, list[tuple[Path, str, bool]]] = {}
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            row = json.loads(text)
            image, task, label, part = (str(row[name]) for name in ("image", "task", "label", "part"))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}: not an object with image, task, label and part ({error})"
            ) from None
        if part not in ("train", "test"):
            raise ValueError(f"{path}, line {number}: part is {part!r}, neither train nor test")
        found.setdefault(task, []).append((path.parent / image, label, part == "test"))
    return [
        Task(name, [row[0] for row in rows], [row[1] for row in rows], np.array([row[2] for row in rows]))
        for name, rows in found.items()
    ]


def _of_products(folder: Path, name: str, products: dict[str, dict[str, str]], labels: dict[str, str]) -> Task:
    counts = {label: list(labels.values()).count(label) for label in set(labels.values())}
    ids = [id_ for id_, label in labels.items() if counts[label] > 1]
    pictures = [_picture(folder, products[id_]) for id_ in ids]
    return Task(name, pictures, [labels[id_] for id_ in ids], np.array(list(map(_held_out, ids))))


def _picture(folder: Path, product: dict[str, str]) -> Path:
    return folder.parent / product["image"]


def _held_out(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % ONE_IN == 0
