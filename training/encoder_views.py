"""Pictures as the encoder's trunk sees them: as they are, mirrored, cut and coloured, and as a camera would take them.

The trunk's features of every view are computed once and kept in a file, so that a head is trained in a minute on a CPU.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

PROJECT = Path(__file__).resolve().parent.parent
MODEL = PROJECT / "model_repo" / "encoder"
SIZE = 224
#: Pictures are kept at this many pixels a side while their views are made.
KEPT = 400
#: Pictures that go through the trunk together, each in all its views.
AT_ONCE = 4

#: What a person with a telephone does to a product: tilts it, shakes, has little light and a cheap lens.
CAMERA = v2.Compose(
    [
        v2.RandomPerspective(0.35, p=1.0, fill=114),
        v2.RandomResizedCrop(SIZE, scale=(0.5, 1.0), ratio=(0.75, 1.33), antialias=True),
        v2.ColorJitter(0.5, 0.4, 0.4, 0.05),
        v2.GaussianBlur(5, (0.1, 2.0)),
    ]
)
CUT = v2.Compose(
    [
        v2.RandomResizedCrop(SIZE, scale=(0.35, 1.0), ratio=(0.6, 1.6), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(0.3, 0.3, 0.3, 0.03),
    ]
)


def _as_served(picture: Image.Image) -> Image.Image:
    return picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _mirrored(picture: Image.Image) -> Image.Image:
    return _as_served(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


#: The first is what is served, the last is for tests alone; those between teach as well.
VIEWS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "plain": _as_served,
    "mirrored": _mirrored,
    "cut 1": CUT,
    "cut 2": CUT,
    "cut 3": CUT,
    "camera 1": CAMERA,
    "camera 2": CAMERA,
    "camera test": CAMERA,
}


def network(version: int) -> Any:
    """The module ``network`` of a version of the encoder: training and serving share its layers."""
    spec = importlib.util.spec_from_file_location("encoder_network", MODEL / str(version) / "network.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def features(
    pictures: Sequence[Path], trunk: Callable[[np.ndarray], Tensor], cache: Path, quiet: bool = False
) -> np.ndarray:
    """``(views, n, features)`` float16 of all :data:`VIEWS`.

    Each picture's are kept in ``cache``, so a run that was stopped goes on where it was. How a picture is cut and
    coloured follows from its name alone.
    """
    files = [cache / f"{_digest(picture)}.npy" for picture in pictures]
    missing = [at for at, file in enumerate(files) if not file.exists()]
    cache.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(missing), AT_ONCE):
        some = missing[start : start + AT_ONCE]
        seen = np.concatenate([_views(pictures[at]) for at in some])
        found = trunk(seen).cpu().numpy().astype(np.float16).reshape(len(some), len(VIEWS), -1)
        for at, rows in zip(some, found, strict=True):
            partial = files[at].with_suffix(".partial.npy")
            np.save(partial, rows)
            partial.replace(files[at])
        if not quiet and (start // AT_ONCE) % 50 == 0:
            told = f"{start + len(some)} of {len(missing)} pictures in {len(VIEWS)} views"
            print(told, file=sys.stderr, flush=True)
    return np.stack([np.load(file) for file in files], axis=1)


def served(picture: Path) -> np.ndarray:
    """``(SIZE, SIZE, 3)`` uint8: the picture as the encoder is given it."""
    return np.asarray(_as_served(_opened(picture)))


def _views(picture: Path) -> np.ndarray:
    """``(views, SIZE, SIZE, 3)`` uint8."""
    torch.manual_seed(int(_digest(picture)[:8], 16))
    opened = _opened(picture)
    return np.stack([np.asarray(view(opened)) for view in VIEWS.values()])


def _digest(picture: Path) -> str:
    """Of the views and of the picture's name in its folder, so that a cache can be moved with its pictures."""
    told = [*VIEWS, picture.parent.name, picture.name, str(picture.stat().st_size)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:20]


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((KEPT, KEPT))
    return small
