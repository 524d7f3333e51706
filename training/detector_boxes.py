"""Photos with boxes for the detector: which part each belongs to, what a teacher adds, and how one is seen in training.

Boxes are YOLO's lines ``class centre_x centre_y width height`` (fractions of the picture) in ``labels/NAME.txt`` beside
``images/NAME.jpg``; classes are the 80 of COCO.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from streams.images.decode import decode_now
from streams.images.fitting import GREY, letterbox

CLASSES = 80
#: Of twenty photos so many are for the test, and so many more to choose by.
OF, TEST, VALIDATION = 20, 5, 3
#: A teacher's box counts from this confidence on.
TAUGHT_FROM = 0.5
#: Photos that the teacher looks at together.
AT_ONCE = 8
#: A view shows at least this share of a photo's width and of its height.
LEAST_VIEW = 0.5
#: A box that was cut counts while this share of it is left.
LEAST_LEFT = 0.4
#: Colours and light of a view change by up to this factor, and its reciprocal.
BRIGHTER = 1.4


class Marked(NamedTuple):
    """A photo, its boxes (k, 4) as fractions (left, top, right, bottom), and the class (k,) of each, 0 … 79."""

    picture: Path
    boxes: np.ndarray
    classes: np.ndarray
    #: Whether a detector marked it, and no person.
    taught: bool = False


def part(name: str) -> str:
    """``train``, ``validation`` or ``test``: by the name of the file alone, so that no run ever moves a photo."""
    place = int.from_bytes(hashlib.sha256(Path(name).stem.encode()).digest()[:8], "big") % OF
    return "test" if place < TEST else "validation" if place < TEST + VALIDATION else "train"


def read(folder: Path) -> list[Marked]:
    """Every photo of a folder with ``images/`` and ``labels/``, by name. Raises ValueError naming what is wrong."""
    pictures = sorted((folder / "images").glob("*.jpg"))
    if not pictures:
        raise ValueError(f"{folder / 'images'} has no photos (*.jpg)")
    return [_marked(picture, folder / "labels" / f"{picture.stem}.txt") for picture in pictures]


def _marked(picture: Path, file: Path) -> Marked:
    lines = file.read_text().split("\n") if file.exists() else []
    boxes, classes = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            kind, x, y, width, height = (float(each) for each in line.split())
        except ValueError:
            raise ValueError(f"{file}, line {number}: `class x y width height` is wanted, not {line!r}") from None
        if not (kind in range(CLASSES) and 0 < width <= 1 and 0 < height <= 1 and 0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"{file}, line {number}: a class of 0 … 79 and fractions are wanted, not {line!r}")
        boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        classes.append(int(kind))
    return Marked(picture, np.array(boxes, np.float64).reshape(-1, 4).clip(0, 1), np.array(classes, np.int64))


#: Letterboxed squares (n, S, S, 3) uint8 → for each boxes (k, 4) as fractions, scores (k,), classes (k,).
Looks = Callable[[np.ndarray], Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]]


def taught(folder: Path, teacher: Looks, size: int, most: int, say: Callable[[str], None]) -> list[Marked]:
    """Photos below a folder with the boxes that ``teacher`` is sure of; those without any are left out.

    Raises ValueError where there is no photo.
    """
    pictures = sorted(folder.rglob("*.jpg"))[:most]
    if not pictures:
        raise ValueError(f"{folder} has no photos (*.jpg)")
    found: list[Marked] = []
    for start in range(0, len(pictures), AT_ONCE):
        some = pictures[start : start + AT_ONCE]
        squares, frames = letterbox([decode_now(picture.read_bytes()) for picture in some], size, size)
        for picture, frame, (boxes, scores, classes) in zip(some, frames, teacher(squares), strict=True):
            sure = scores >= TAUGHT_FROM
            if sure.any():
                of_picture = np.array([frame.to_image(box) for box in boxes[sure].tolist()])
                found.append(Marked(picture, of_picture, classes[sure].astype(np.int64), taught=True))
        if start // AT_ONCE % 10 == 0:
            say(f"the teacher has seen {start + len(some)} of {len(pictures)} photos")
    return found


def view(marked: Marked, size: int, draw: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """A photo as training sees it: cut, mirrored and coloured at random, letterboxed to ``size``.

    Returns ``(3, size, size)`` float32 in 0 … 1, and torchvision's target: boxes in pixels, labels from 1.
    """
    pixels = decode_now(marked.picture.read_bytes())
    boxes, classes = marked.boxes, marked.classes
    cut = _window(draw)
    kept, inside = _cut(boxes, cut)
    if inside.any() or not len(boxes):
        boxes, classes = kept[inside], classes[inside]
        high, wide = pixels.shape[:2]
        left, top, right, bottom = (cut * [wide, high, wide, high]).astype(int)
        pixels = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    pixels = _coloured(pixels, draw)
    square, frame = _fitted(pixels, size, draw)
    boxes = boxes * np.tile([frame[2], frame[3]], 2) + np.tile([frame[0], frame[1]], 2)
    if draw.random() < 0.5:
        square, boxes = square[:, ::-1], np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], 1)
    target = {
        "boxes": torch.from_numpy((boxes * size).astype(np.float32).reshape(-1, 4)),
        "labels": torch.from_numpy(classes + 1),
    }
    return torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1))).float() / 255, target


def _coloured(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """In another light; mostly little, as the cube of what is drawn is small."""
    changed = pixels * (BRIGHTER ** draw.uniform(-1, 1, 3) ** 3).astype(np.float32)
    return changed.clip(0, 255).astype(np.uint8)


def _window(draw: np.random.Generator) -> np.ndarray:
    """A part of the picture as fractions (left, top, right, bottom)."""
    extent = draw.uniform(LEAST_VIEW, 1, 2)
    start = draw.uniform(0, 1 - extent)
    return np.concatenate([start, start + extent])


def _cut(boxes: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes as fractions of the window, and whether enough of each is in it."""
    low, high = np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])
    left = np.prod((high - low).clip(0), 1) / np.prod(boxes[:, 2:] - boxes[:, :2], 1).clip(1e-9)
    extent = window[2:] - window[:2]
    return np.concatenate([(low - window[:2]) / extent, (high - window[:2]) / extent], 1), left >= LEAST_LEFT


def _fitted(
    pixels: np.ndarray, size: int, draw: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Letterboxed, at most as large as fits: objects are seen at more than one size."""
    share = draw.uniform(0.7, 1)
    inner = max(1, round(size * share))
    (square,), (frame,) = letterbox([pixels], inner, inner)
    canvas = np.full((size, size, 3), GREY, np.uint8)
    x, y = (int(draw.integers(0, size - inner + 1)) for _ in range(2))
    canvas[y : y + inner, x : x + inner] = square
    within = inner / size
    left, top, width, height = (each * within for each in frame)
    return canvas, (left + x / size, top + y / size, width, height)


def preview(marked: Marked, size: int, seed: int) -> Image.Image:
    """A view with its boxes drawn, to look at."""
    from PIL import ImageDraw

    pixels, target = view(marked, size, np.random.default_rng(seed))
    drawn = Image.fromarray((pixels.numpy().transpose(1, 2, 0) * 255).astype(np.uint8))
    for box in target["boxes"].tolist():
        ImageDraw.Draw(drawn).rectangle(box, outline=(255, 0, 0))
    return drawn
