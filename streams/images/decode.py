"""Decode the bytes of an image to RGB pixels, whatever its producer did to it."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from operators.rejection import Reason
from streams.images.rejection import ImageRejected

Pixels = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MOST_PIXELS = 50_000_000
#: Longest side of what is kept; models look at a few hundred pixels, crops of objects at a part of these.
LONGEST_SIDE = 1024
WHITE = (255, 255, 255, 255)

# Decoding is memory-hungry and releases the interpreter lock: as many at once as there are cores.
_pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")


async def decode(content: bytes) -> Pixels:
    """RGB ``(height, width, 3)``, upright, at most ``LONGEST_SIDE`` a side. Raises ImageRejected."""
    return await asyncio.get_running_loop().run_in_executor(_pool, decode_now, content)


def decode_now(content: bytes) -> Pixels:
    """As :func:`decode`, on the calling thread."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ImageRejected(
                    Reason.IMAGE_TOO_LARGE, f"{image.width} × {image.height} is more than {MOST_PIXELS} pixels"
                )
            return _pixels(image)
    except Image.DecompressionBombError as error:
        raise ImageRejected(Reason.IMAGE_TOO_LARGE, str(error)) from None
    except UnidentifiedImageError:
        raise ImageRejected(
            Reason.IMAGE_NOT_AN_IMAGE, f"{len(content)} bytes that are none of {', '.join(FORMATS)}"
        ) from None
    except ImageRejected:
        raise
    except Exception as error:  # decoders meet hostile bytes and raise nearly anything
        truncated = any(word in str(error).lower() for word in ("truncated", "unexpected end", "incomplete"))
        reason = Reason.IMAGE_TRUNCATED if truncated else Reason.IMAGE_UNREADABLE
        raise ImageRejected(reason, f"{type(error).__name__}: {error}") from None


def _pixels(image: Image.Image) -> Pixels:
    if image.format == "JPEG":
        # The decoder leaves out what would be scaled away: a quarter of the time for a photo of 12 megapixels.
        image.draft(None, (LONGEST_SIDE, LONGEST_SIDE))
    image.load()
    upright = ImageOps.exif_transpose(image)
    upright = _opaque(_eight_bits(upright))
    if max(upright.size) > LONGEST_SIDE:
        upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.array(upright)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit greys scaled to 8: Pillow's own conversion would clip them to white."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray((values * (255 / 65535)).clip(0, 255).astype(np.uint8), "L")
    return image


def _opaque(image: Image.Image) -> Image.Image:
    """RGB, with what is transparent laid over white."""
    if "transparency" not in image.info and "A" not in image.getbands():
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, WHITE), layer).convert("RGB")
