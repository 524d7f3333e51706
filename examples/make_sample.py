"""Make examples/sample: CC0 clothing photos as pins, and SIMULATED traffic about them.

    python examples/make_sample.py

Reads the photos from ``$PINSTREAM_DATA/photos`` (default ``../shared/data/photos``). The same photos
and seed give the same events; the JPEGs depend on the version of Pillow.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import orjson
from PIL import Image, ImageOps

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from streams.traffic.lines import open_to_write  # noqa: E402
from streams.traffic.simulate import pin_events, pinner_events, traffic  # noqa: E402
from streams.traffic.world import draw_world  # noqa: E402

SAMPLE = PROJECT / "examples" / "sample"
SEED = 20260101
PHOTOS_PER_LABEL = 35
LONGEST_SIDE = 320
QUALITY = 80
PINNERS = 200
POSTERS = 30
DAYS = 14
SLATES = 1_260
#: When the sample ends: 2026-01-15 00:00 UTC. `pinstream replay --now` moves it to the present.
END = 1_768_435_200_000
DOMAINS = [
    "atelier-nord.example", "bluebird-outfitters.example", "corner-thrift.example", "everyday-wear.example",
    "fold-and-press.example", "garden-gate.example", "harbour-clothing.example", "linen-house.example",
    "old-mill-vintage.example", "second-season.example", "studio-twelve.example", "weekend-walks.example",
]  # fmt: skip


def shrink(source: Path, target: Path) -> tuple[int, int]:
    """Write a photo with at most 320 px on its longer side and without metadata; return its size."""
    with Image.open(source) as photo:
        upright = ImageOps.exif_transpose(photo).convert("RGB")
        upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        upright.save(target, "JPEG", quality=QUALITY, optimize=True)
        return upright.size


def choose(photos: Path) -> list[tuple[Path, str]]:
    """The first photos of each label by name, in an order that mixes the labels."""
    by_label: dict[str, list[Path]] = {}
    for row in orjson.loads((photos / "labels.json").read_bytes()):
        by_label.setdefault(row["label"], []).append(photos.parent / row["image"])
    chosen = [(path, label) for label, paths in sorted(by_label.items()) for path in sorted(paths)[:PHOTOS_PER_LABEL]]
    order = np.random.default_rng(SEED).permutation(len(chosen))
    return [chosen[i] for i in order]


def main() -> None:
    photos = Path(os.environ.get("PINSTREAM_DATA", PROJECT.parent / "shared" / "data")) / "photos"
    if not photos.is_dir():
        raise SystemExit(f"no photos at {photos}: set PINSTREAM_DATA to the folder that holds photos/")
    shutil.rmtree(SAMPLE / "photos", ignore_errors=True)
    (SAMPLE / "photos").mkdir(parents=True)
    shutil.copyfile(photos / "LICENSE", SAMPLE / "photos" / "LICENSE")
    chosen = choose(photos)
    manifest, names = [], []
    for number, (path, label) in enumerate(chosen, 1):
        name = f"{number:03d}-{label}.jpg"
        width, height = shrink(path, SAMPLE / "photos" / name)
        names.append(name)
        manifest.append(
            {"pin": number, "file": name, "label": label, "width": width, "height": height, "from": path.name}
        )
    (SAMPLE / "manifest.json").write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))

    topics = sorted({label for _, label in chosen})
    world = draw_world(
        np.array([topics.index(label) for _, label in chosen]),
        topics,
        name="sample",
        pinners=PINNERS,
        posters=POSTERS,
        domains=DOMAINS,
        days=DAYS,
        seed=SEED,
    )
    files = {
        "pins": pin_events(world, END, [f"file:examples/sample/photos/{name}" for name in names]),
        "pinners": pinner_events(world, END, DAYS),
        "traffic": list(traffic(world, slates=SLATES, days=DAYS, end=END)),
    }
    for name, lines in files.items():
        with open_to_write(str(SAMPLE / f"{name}.jsonl.zst")) as out:
            for line in lines:
                out.write(line.encode())
        print(f"{name}: {len(lines)} events")
    (SAMPLE / "truth.json").write_bytes(orjson.dumps(world.truth() | {"days": DAYS, "end": END}))


if __name__ == "__main__":
    main()
