"""Photos with boxes for the detector: which part each belongs to, and what a teacher adds.

Boxes are YOLO's lines ``class centre_x centre_y width height`` (fractions of the picture) in ``labels/NAME.txt`` beside
``images/NAME.jpg``; classes are the 80 of COCO.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streams.images.decode import decode_now
from streams.images.fitting import letterbox
from streams.images.rejection import ImageRejected

CLASSES = 80
#: Of twenty photos so many are for the test, and so many more to choose by.
OF, TEST, VALIDATION = 20, 5, 3
#: A teacher's box counts from this confidence on.
TAUGHT_FROM = 0.5
#: Photos that the teacher looks at together.
AT_ONCE = 8


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


def pixels_of(picture: Path) -> np.ndarray:
    """RGB ``(height, width, 3)`` uint8, as the engine reads it. Raises ValueError naming a photo that is none."""
    try:
        return decode_now(picture.read_bytes())
    except (OSError, ImageRejected) as error:
        raise ValueError(f"{picture} cannot be read: {error}") from None


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
        squares, frames = letterbox([pixels_of(picture) for picture in some], size, size)
        for picture, frame, (boxes, scores, classes) in zip(some, frames, teacher(squares), strict=True):
            of_picture = np.array([frame.to_image(box) for box in boxes.tolist()]).reshape(-1, 4)
            # What lies in the grey around a picture is nothing of it.
            sure = (scores >= TAUGHT_FROM) & (of_picture[:, 2:] > of_picture[:, :2]).all(1)
            if sure.any():
                found.append(Marked(picture, of_picture[sure], classes[sure].astype(np.int64), taught=True))
        if start // AT_ONCE % 10 == 0:
            say(f"the teacher has seen {start + len(some)} of {len(pictures)} photos")
    return found
