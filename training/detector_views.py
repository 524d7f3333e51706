"""A photo with boxes as training sees it: cut, mirrored, in another light, at another size."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from streams.images.fitting import GREY, letterbox
from training.detector_boxes import Marked, pixels_of

#: A view shows at least this share of a photo's width and of its height.
LEAST_VIEW = 0.5
#: A box that was cut counts while this share of it is left.
LEAST_LEFT = 0.4
#: Colours and light of a view change by up to this factor, and its reciprocal.
BRIGHTER = 1.4
#: A view fills at least this share of the square's side.
LEAST_FILLED = 0.7


def view(marked: Marked, size: int, draw: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """A photo as training sees it: cut, mirrored and coloured at random, letterboxed to ``size``.

    Returns ``(3, size, size)`` float32 in 0 … 1, and torchvision's target: boxes in pixels, labels from 1.
    """
    pixels = pixels_of(marked.picture)
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
    share = draw.uniform(LEAST_FILLED, 1)
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
    pixels, target = view(marked, size, np.random.default_rng(seed))
    drawn = Image.fromarray((pixels.numpy().transpose(1, 2, 0) * 255).astype(np.uint8))
    for box in target["boxes"].tolist():
        ImageDraw.Draw(drawn).rectangle(box, outline=(255, 0, 0))
    return drawn
