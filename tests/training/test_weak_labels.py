"""Weak labels as training data: COCO's form, the same bytes for the same labels."""

from __future__ import annotations

import json
import random
import subprocess
import sys

from streams.settings import PROJECT
from streams.weak_labels import WeakLabel
from training.weak_labels import coco

LABELS = [
    WeakLabel(9, "file:a.jpg", 200, 100, (0.25, 0.5, 0.75, 1.0), 4, "shoe", 0.9, 0.8),
    WeakLabel(9, "file:a.jpg", 200, 100, (0.0, 0.0, 0.5, 0.5), 1, "hat", 0.7, 0.6),
    WeakLabel(3, "file:b.jpg", 40, 40, (0.0, 0.0, 1.0, 1.0), 2, "shoe", 1.0, 1.0),
]


def test_boxes_are_in_pixels_and_everything_refers_to_something():
    made = coco(LABELS)
    assert [image["id"] for image in made["images"]] == [3, 9]
    assert [category["name"] for category in made["categories"]] == ["hat", "shoe"]
    assert [one["bbox"] for one in made["annotations"]] == [[0, 0, 40, 40], [0, 0, 100, 50], [50, 50, 100, 50]]
    assert made["annotations"][2] == {
        "id": 3, "image_id": 9, "category_id": 2, "bbox": [50, 50, 100, 50], "area": 5000,
        "iscrowd": 0, "score": 0.9, "margin": 0.8, "crops": 4,
    }  # fmt: skip


def test_the_order_of_labels_has_no_say():
    shuffled = LABELS.copy()
    random.Random(1).shuffle(shuffled)
    assert json.dumps(coco(shuffled)) == json.dumps(coco(LABELS))
    assert coco([])["annotations"] == []


def test_a_folder_that_is_not_there_is_said_at_once():
    command = [sys.executable, "-m", "training.weak_labels", "/no/such/folder/labels.json"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no folder /no/such/folder" in done.stderr
