"""Pictures as the encoder's trunk sees them: as they are, mirrored, cut and coloured, and as a camera would take them.

The trunk's features of every view are computed once and kept in a file, so that a head is trained in a minute on a CPU.
"""

from __future__ import annotations

import hashlib
import importlib.util
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

PROJECT = Path(__file__).resolve().parent.parent
MODEL = PROJECT / "model_repo" / "encoder"
SIZE = 224
#: Pictures are kept at this many pixels a side while their views are made.
KEPT = 400
BATCH = 16

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
    pictures: Sequence[Path], trunk: Callable[[np.ndarray], Tensor], cache: Path, seed: int = 0, quiet: bool = False
) -> np.ndarray:
    """``(views, n, features)`` float16 of all :data:`VIEWS`; read from ``cache`` where they were computed before."""
    known = hashlib.sha256("\n".join([str(seed), *VIEWS, *map(str, pictures)]).encode()).hexdigest()[:16]
    file = cache / f"features-{known}.npy"
    if file.exists():
        return np.load(file)
    random.seed(seed)
    v2.functional  # noqa: B018 - loaded before it is seeded
    import torch

    torch.manual_seed(seed)
    opened = [_opened(path) for path in pictures]
    found: list[np.ndarray] = []
    for done, (name, view) in enumerate(VIEWS.items(), 1):
        parts = [
            trunk(np.stack([np.asarray(view(picture)) for picture in opened[start : start + BATCH]])).cpu().numpy()
            for start in range(0, len(opened), BATCH)
        ]
        found.append(np.concatenate(parts).astype(np.float16))
        if not quiet:
            print(f"view {done} of {len(VIEWS)}, {name}: {len(opened)} pictures", file=sys.stderr)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(file, np.stack(found))
    return np.stack(found)


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((KEPT, KEPT))
    return small
