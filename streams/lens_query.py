"""Query understanding: what is in a photo, its colours, its light and sharpness, and vectors to search with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from operators.rejection import Reason
from operators.vision.colours import Palette, salient_palette
from operators.vision.photo_quality import PhotoQuality, photo_quality
from operators.vision.scenes import object_weights
from streams.images.fitting import Pixels, crop
from streams.images.rejection import ImageRejected
from streams.lens_photo import WHOLE, Box, Photo
from streams.pin_safety import beside
from streams.stores.protocols import Detection, Models, StoreUnavailable
from streams.understanding import CROP_PADDING, LEAST_CONFIDENCE, MOST_OBJECTS

T = TypeVar("T")
Vectors = NDArray[np.float32]

#: With less of the photo than this inside boxes of objects, the whole of it is searched for as one more object.
LITTLE = 0.5
#: Seconds for each model; pins that wait for vision may stand before a photo.
MODEL_SECONDS = 8.0
#: Seconds that the photo's safety is waited for when all else is known.
GRACE_SECONDS = 1.0


class QueryObject(NamedTuple):
    """One thing to search for; ``label`` is empty for the photo as a whole. ``box`` is of the whole picture."""

    label: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class Query:
    """A photo understood.

    Attributes:
        objects: what to search for, the most certain first, and perhaps the photo as a whole at the end.
        vectors: ``(q, d)`` of the objects, L2-normalised.
        weights: ``(q,)``, what each object counts; they add up to 1.
        whole: ``(d,)``, of the photo as a whole.
        left_out: parts that could not be asked.
        milliseconds: what each stage took when the photo was looked at.
        unsafe: how likely the photo is not safe for work, 0 … 1; None where the model did not answer.
    """

    objects: list[QueryObject]
    vectors: Vectors
    weights: NDArray[np.float64]
    whole: Vectors
    palette: Palette
    quality: PhotoQuality
    left_out: list[str]
    milliseconds: dict[str, float]
    unsafe: float | None = None

    @property
    def seen(self) -> list[QueryObject]:
        """The objects that the detector found."""
        return [one for one in self.objects if one.label]

    @property
    def phrases(self) -> dict[str, float]:
        """What was seen, in words: label → the largest confidence that it is there."""
        return {one.label: one.confidence for one in sorted(self.seen, key=lambda one: one.confidence)}

    @property
    def category(self) -> tuple[str, float]:
        """The label that most of the photo and of the detector's confidence speak for, and how sure it is."""
        if not self.seen:
            return "", 0.0
        best = max(self.seen, key=lambda one: one.confidence * area(one.box) ** 0.5)
        return best.label, best.confidence


async def understood(models: Models, photo: Photo) -> Query:
    """Look at a photo. Colours, quality and safety are computed beside detector and encoder.

    Raises:
        ImageRejected: the encoder refuses the photo.
        StoreUnavailable: the encoder is gone; without the detector the photo counts as one object.
    """
    query, [unsafe] = await beside(_understood(models, photo), models, [photo.pixels], GRACE_SECONDS)
    return replace(query, unsafe=unsafe, left_out=query.left_out + ["safety"] * (unsafe is None))


async def _understood(models: Models, photo: Photo) -> Query:
    took: dict[str, float] = {}
    looks = _timed(took, "colours", asyncio.to_thread(_colours, photo.pixels))
    detected = _timed(took, "detect", _detected(models, photo))
    (palette, quality), (found, left_out) = await asyncio.gather(looks, detected)
    crops = [crop(photo.pixels, one, CROP_PADDING) for one in found]
    vectors = await _timed(took, "encode", _in_time(models.encode([photo.pixels, *crops])))
    if not vectors.size or np.isnan(vectors[0]).any():
        raise ImageRejected(Reason.IMAGE_UNREADABLE, "the encoder refuses it")
    usable = [row for row in range(1, len(vectors)) if not np.isnan(vectors[row]).any()]
    objects = [QueryObject(found[row - 1].label, found[row - 1].confidence, found[row - 1].box) for row in usable]
    if covered([one.box for one in objects]) < LITTLE:
        objects, usable = [*objects, QueryObject("", 1.0, WHOLE)], [*usable, 0]
    weights = object_weights(
        np.array([one.confidence for one in objects], np.float32),
        np.array([area(one.box) for one in objects], np.float32),
    )
    placed = [one._replace(box=photo.place(one.box)) for one in objects]
    return Query(placed, vectors[usable], weights, vectors[0], palette, quality, left_out, took)


def area(box: Box) -> float:
    """Share of the picture that a box covers."""
    return (box[2] - box[0]) * (box[3] - box[1])


def covered(boxes: Sequence[Box], grid: int = 32) -> float:
    """Share of the picture that lies in at least one of the boxes, on a grid of points."""
    points = (np.arange(grid) + 0.5) / grid
    inside = np.zeros((grid, grid), np.bool_)
    for left, top, right, bottom in boxes:
        inside |= ((points >= top) & (points <= bottom))[:, None] & ((points >= left) & (points <= right))
    return float(inside.mean())


def _colours(pixels: Pixels) -> tuple[Palette, PhotoQuality]:
    return salient_palette(pixels), photo_quality(pixels)


async def _timed(took: dict[str, float], stage: str, work: Awaitable[T]) -> T:
    began = perf_counter()
    try:
        return await work
    finally:
        took[stage] = round((perf_counter() - began) * 1000, 3)


async def _detected(models: Models, photo: Photo) -> tuple[list[Detection], list[str]]:
    try:
        [found] = await _in_time(models.detect([photo.pixels]))
    except StoreUnavailable:
        return [], ["detector"]
    return [one for one in found if one.confidence >= LEAST_CONFIDENCE][:MOST_OBJECTS], []


async def _in_time(work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(MODEL_SECONDS):
            return await work
    except TimeoutError:
        raise StoreUnavailable("triton", f"no answer within {MODEL_SECONDS:g} s") from None
