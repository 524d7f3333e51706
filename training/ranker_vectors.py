"""Vectors of pins whose images are files, for the ranker's relevance features: asks the encoder that answers are of.

pinstream up
python -m training.ranker_vectors PINS… --out vectors.npz
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from operators.identity import stable_id
from streams.encoders.following import parts_that_serve
from streams.images.decode import decode
from streams.settings import PROJECT, Settings
from streams.traffic.lines import decode_line, open_to_read

#: Images in memory at once.
AT_ONCE = 64


def images_of(paths: Sequence[str]) -> dict[int, Path]:
    """Pin → image file, of the pins in these event files whose image is one; the newest event wins."""
    found: dict[int, Path] = {}
    for path in paths:
        with open_to_read(path) as file:
            for text in file:
                event = decode_line(text).event
                address = urlsplit(event.get("image") or "")
                if address.scheme == "file":
                    found[stable_id(event["pin"])] = PROJECT / address.path
    return found


async def vectors_of(images: dict[int, Path], settings: Settings) -> np.ndarray:
    """``(n, d)`` L2-normalised. Raises StoreUnavailable without ClickHouse, which knows the encoder, or Triton."""
    files, parts = list(images.values()), list[np.ndarray]()
    async with parts_that_serve(settings) as (_, models, _):
        for start in range(0, len(files), AT_ONCE):
            pixels = [await decode(file.read_bytes()) for file in files[start : start + AT_ONCE]]
            parts.append(await models.encode(pixels))
    return np.concatenate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="+", metavar="PINS", help="event files with pins")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    images = images_of(given.events)
    vectors = asyncio.run(vectors_of(images, Settings.load()))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(given.out, pins=np.array(list(images), np.int64), vectors=vectors)
    print(f"{len(images)} pins, {vectors.shape[1]} dimensions → {given.out}")


if __name__ == "__main__":
    main()
