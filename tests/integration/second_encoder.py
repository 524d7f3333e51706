"""A second encoder for tests: the one that ships with its vectors turned by a rotation, and one that does not load.

Turned, every cosine between two vectors of one encoder stays as it is, and one between two encoders means nothing: it
is near 0. So an answer that mixes the two shows, while all others are as they were.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from streams.settings import PROJECT

SHIPPED = PROJECT / "model_repo" / "encoder"


def make(folder: Path, seed: int = 3) -> Path:
    """A model folder, named as ``folder``, whose vectors are those of the shipped encoder turned."""
    version = max((each for each in SHIPPED.iterdir() if each.name.isdigit()), key=lambda each: int(each.name))
    shutil.copytree(version, folder / "1", ignore=shutil.ignore_patterns("__pycache__"))
    text = (SHIPPED / "config.pbtxt").read_text()
    (folder / "config.pbtxt").write_text(text.replace('name: "encoder"', f'name: "{folder.name}"'))
    with np.load(folder / "1" / "head.npz") as stored:
        head = {name: stored[name].astype(np.float64) for name in ("matrix", "bias")}
    width = len(head["bias"])
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))
    turned = {name: (turn @ values).astype(np.float32) for name, values in head.items()}
    np.savez(folder / "1" / "head.npz", matrix=turned["matrix"], bias=turned["bias"])
    return folder


def make_broken(folder: Path) -> Path:
    """A model folder whose layer is missing: Triton cannot load it."""
    make(folder)
    (folder / "1" / "head.npz").unlink()
    return folder
