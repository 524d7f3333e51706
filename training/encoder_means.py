"""The means of the embedding's dimensions, a part of the encoder's version. Runs in ``.venv-models``.

    python -m training.encoder_means --photos DATA/photos [--lines TASKS.jsonl] --version 2

Vectors become bits by comparing each dimension with its mean (``operators/vision/bits.py``). Bits can be compared only
if they were made against the same means, so these are computed once, of the pictures that teach, as they are served,
and lie beside the version's weights. Triton tells them (output ``MEANS``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from training.encoder import TRUNK, given_tasks, taught_trunk, weights_folder
from training.encoder_tasks import Task
from training.encoder_views import MODEL, PROJECT, network, served

AT_ONCE = 16


def taught(tasks: Sequence[Task]) -> list[Path]:
    """The pictures that teach; one that any task tests is left out."""
    tested = {picture for task in tasks for picture, held in zip(task.pictures, task.test, strict=True) if held}
    return sorted({picture for task in tasks for picture in task.pictures} - tested)


def means(pictures: Sequence[Path], version: int) -> np.ndarray:
    """``(width,)`` float32: the mean of each dimension over the pictures, by the version's own layers."""
    net = network(version)
    trunk = net.Trunk(weights_folder(), TRUNK, "cuda" if torch.cuda.is_available() else "cpu", taught_trunk(version))
    head = net.Head.load(MODEL / str(version) / "head.npz")
    total = np.zeros(0)
    for start in range(0, len(pictures), AT_ONCE):
        seen = np.stack([served(picture) for picture in pictures[start : start + AT_ONCE]])
        with torch.inference_mode():
            summed = head(trunk(seen).cpu()).double().sum(0).numpy()
        total = summed if start == 0 else total + summed
    return (total / len(pictures)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, action="append", default=[], help="a folder with labels.json")
    parser.add_argument("--lines", type=Path, action="append", default=[], help="a file of JSON lines")
    parser.add_argument("--version", type=int, default=2, help="of the encoder; default 2")
    given = parser.parse_args()
    pictures = taught(given_tasks(given))
    path = MODEL / str(given.version) / "means.npy"
    found = means(pictures, given.version)
    np.save(path, found)
    told = {"means": str(path.relative_to(PROJECT)), "pictures": len(pictures), "largest": float(np.abs(found).max())}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
