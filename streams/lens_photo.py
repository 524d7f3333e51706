"""A photo to search with: its pixels, and the box that its owner drew on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from operators.rejection import Reason
from streams.images.decode import decode
from streams.images.fetch import ImageFetcher
from streams.images.fitting import Pixels, crop
from streams.images.rejection import ImageRejected
from streams.settings import Settings
from streams.stores.protocols import Detection

Box = tuple[float, float, float, float]
#: The whole picture.
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
#: A box may reach so far over an edge, in widths or heights of the picture; a finger is not exact.
OVERHANG = 0.05
#: Seconds for a picture that is somewhere else: people wait for this one.
FETCH_SECONDS = 8.0


class Sent(NamedTuple):
    """A picture as it was sent, not decoded yet, and the part of it that is looked at."""

    content: bytes
    box: Box


class Photo(NamedTuple):
    """What is looked at: the pixels inside ``box``, which are fractions of the whole picture."""

    pixels: Pixels
    box: Box

    def place(self, box: Box) -> Box:
        """A box of these pixels as fractions of the whole picture."""
        left, top, right, bottom = self.box
        wide, high = right - left, bottom - top
        return (left + box[0] * wide, top + box[1] * high, left + box[2] * wide, top + box[3] * high)


def clipped(box: Sequence[float]) -> Box:
    """The box (left, top, right, bottom; fractions of width and height) without what hangs over the picture's edge.

    Raises:
        ValueError: with a sentence that says what is wrong with the box.
    """
    if len(box) != 4 or not all(map(isfinite, box)):
        raise ValueError("a box is four numbers: left, top, right, bottom")
    if min(box) < -OVERHANG or max(box) > 1 + OVERHANG:
        raise ValueError("the box lies outside the picture: its edges are fractions of width and height, 0 to 1")
    left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in box)
    if left > right or top > bottom:
        raise ValueError("the box is upside down: left must be less than right, and top less than bottom")
    if left == right or top == bottom:
        raise ValueError("the box is empty")
    return left, top, right, bottom


def cut(pixels: Pixels, box: Box) -> Photo:
    """The part of a picture inside ``box``; at least one pixel. A view."""
    return Photo(crop(pixels, Detection("", 1.0, box), 0.0), box)


async def fetched(settings: Settings, reference: str) -> bytes:
    """The bytes that a reference (``data:``, ``https:``, ``file:``) leads to.

    Raises:
        ImageRejected: there is nothing there that may be had.
    """
    async with ImageFetcher(settings, total_seconds=FETCH_SECONDS) as fetcher:
        return await fetcher.fetch(reference)


async def picture_of(settings: Settings, reference: str) -> Pixels | None:
    """The picture that a pin refers to; None when it cannot be had, or was sent inline and so was not kept."""
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            return await decode(await fetched(settings, reference))
    except (ImageRejected, TimeoutError):
        return None


#: What is too large is told apart: the same picture, made smaller, will do.
TOO_LARGE = Reason.IMAGE_TOO_LARGE
