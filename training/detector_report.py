"""AP50 of both detectors on the photos that no training saw, as JSON. Runs in ``.venv-models``.

    python -m training.detector_report --boxes DATA/boxes

``measured`` and ``networks`` are by version; ``missing`` says of a version that is not there what to do.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from training.detector import HELD_OUT, device, say, weights_folder
from training.detector_boxes import Marked, part, read
from training.detector_scores import VERSIONS, measure


def report(parts: dict[str, list[Marked]], weights: Path) -> dict[str, Any]:
    """What each version finds in each part and in all together, of those whose weights are there."""
    told: dict[str, Any] = {"measured": {}, "networks": {}, "missing": {}}
    told["photos"] = {name: len(data) for name, data in parts.items()} | {"held out": sum(map(len, parts.values()))}
    for version, (network, open_) in VERSIONS.items():
        try:
            detector = open_(weights, device())
        except Exception as error:
            # `WeightsUnusable` is of a module that is loaded by its path.
            if not isinstance(error, OSError | ValueError) and type(error).__name__ != "WeightsUnusable":
                raise
            told["missing"][version] = f"{network}: {error}"
            continue
        say(f"detector {version}, {network}: {told['photos']['held out']} photos")
        told["networks"][version] = network
        told["measured"][version] = measure(detector, parts, (weights / "coco.names").read_text().split("\n")[:80])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=Path, required=True, help="a folder with images/ and labels/ (YOLO's lines)")
    given = parser.parse_args()
    try:
        marked = read(given.boxes)
    except ValueError as error:
        sys.exit(f"{error}")
    parts = {name: [one for one in marked if part(one.picture.name) == name] for name in HELD_OUT}
    print(json.dumps(report(parts, weights_folder())))


if __name__ == "__main__":
    main()
