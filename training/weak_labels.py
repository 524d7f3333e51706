"""Write weak labels of what people crop as training data for the detector: JSON as COCO has it. Runs in ``.venv``.

    python -m training.weak_labels labels.json [--margin M] [--crops N] [--json]

Needs ClickHouse, Milvus and Triton as `pinstream up` starts them. Boxes are ``[x, y, width, height]`` in pixels of the
picture as the engine keeps it; each annotation also has its ``score``, its ``margin`` and how many ``crops`` made it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from operators.vision.weak_labels import CHOSEN, Voting
from streams.encoders.following import parts_that_serve
from streams.settings import Settings
from streams.stores.protocols import StoreUnavailable
from streams.weak_labels import Stores, WeakLabel, cropped_pins, weak_labels

#: Pins whose pictures are in memory at once.
CHUNK = 32


def coco(labels: Sequence[WeakLabel]) -> dict[str, Any]:
    """Images, annotations and categories, each in a fixed order; https://cocodataset.org/#format-data."""
    names = sorted({label.label for label in labels})
    images = {
        label.pin: {"id": label.pin, "file_name": label.image, "width": label.width, "height": label.height}
        for label in labels
    }
    annotations = []
    for number, label in enumerate(sorted(labels, key=lambda each: (each.pin, each.box)), 1):
        left, top, right, bottom = label.box
        wide, high = (right - left) * label.width, (bottom - top) * label.height
        annotations.append(
            {
                "id": number,
                "image_id": label.pin,
                "category_id": names.index(label.label) + 1,
                "bbox": [round(each, 2) for each in (left * label.width, top * label.height, wide, high)],
                "area": round(wide * high, 2),
                "iscrowd": 0,
                "score": round(label.score, 4),
                "margin": round(label.margin, 4),
                "crops": label.crops,
            }
        )
    return {
        "info": {"description": "Weak labels of what people crop, by a vote of their nearest objects"},
        "images": [images[pin] for pin in sorted(images)],
        "annotations": annotations,
        "categories": [{"id": place, "name": name} for place, name in enumerate(names, 1)],
    }


async def gather(settings: Settings, voting: Voting, margin: float, least: int) -> list[WeakLabel]:
    """Labels of all cropped pins, telling how far it is. Raises StoreUnavailable."""
    found: list[WeakLabel] = []
    async with parts_that_serve(settings) as (events, models, vectors):
        stores = Stores(settings, events, vectors, models)
        pins = await cropped_pins(stores.events, least)
        for start in range(0, len(pins), CHUNK):
            found += await weak_labels(stores, pins[start : start + CHUNK], voting, margin)
            print(f"{min(start + CHUNK, len(pins)):,} of {len(pins):,} pins, {len(found):,} labels", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where to write")
    parser.add_argument("--margin", type=float, default=0.6, help="by how much of all votes a label must win [0.6]")
    parser.add_argument("--crops", type=int, default=1, help="only pins with at least so many crops [1]")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")
    given = parser.parse_args()
    if not given.file.resolve().parent.is_dir():
        parser.error(f"there is no folder {given.file.resolve().parent}")
    try:
        labels = asyncio.run(gather(Settings.load(), CHOSEN, given.margin, given.crops))
    except StoreUnavailable as gone:
        sys.exit(f"{gone}. Start the parts with `pinstream up`, then try again.")
    written = coco(labels)
    given.file.write_text(json.dumps(written))
    summary = {name: len(written[name]) for name in ("images", "annotations", "categories")}
    print(
        json.dumps(summary) if given.json else f"{given.file}: " + ", ".join(f"{n:,} {k}" for k, n in summary.items())
    )


if __name__ == "__main__":
    main()
