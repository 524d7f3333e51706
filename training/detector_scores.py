"""Both versions of the detector on the same photos: AP50, time, and which of them should serve."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.quality.average_precision import average_precision
from infra.detector_version import DESCRIPTION
from infra.models_environment import SITE_PACKAGES
from streams.images.fitting import letterbox
from streams.settings import PROJECT
from streams.stores.protocols import Detection
from training.detector_boxes import Looks, Marked, pixels_of

MODEL = PROJECT / "model_repo" / "detector"
NAME = Path(DESCRIPTION).stem
#: Photos that go through a network together.
AT_ONCE = 4
OVERLAP = 0.5


def code(version: int, module: str) -> Any:
    """A module of a version of the detector, so that what is measured is the very code that Triton serves."""
    folder = MODEL / str(version)
    # A version's files import each other by name, and Triton's Python backend brings one more.
    beside = [str(folder), str(SITE_PACKAGES / "pytriton" / "tritonserver" / "backends" / "python")]
    spec = importlib.util.spec_from_file_location(f"detector_{version}_{module}", folder / f"{module}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.path[:0] = beside
    try:
        spec.loader.exec_module(loaded)
    finally:
        for each in beside:
            sys.path.remove(each)
    return loaded


def served_size() -> int:
    """Pixels a side of the squares that the detector is asked with, as ``config.pbtxt`` says."""
    found = re.search(r"IMAGES.*?dims:\s*\[\s*(\d+)", (MODEL / "config.pbtxt").read_text())
    assert found is not None
    return int(found[1])


def first(weights: Path, device: str) -> Looks:
    """Version 1, YOLOv4-tiny."""
    return code(1, "model").Detector(weights, "yolov4-tiny", served_size(), device)


def second(weights: Path, device: str) -> Looks:
    """Version 2, whose weights ``faster-rcnn.json`` names."""
    return code(2, "network").Detector(weights, NAME, device)


#: Version → what it is, and how it is opened.
VERSIONS = {"1": ("YOLOv4-tiny", first), "2": ("Faster R-CNN", second)}


def look(detector: Looks, data: Sequence[Marked], labels: Sequence[str]) -> tuple[list[list[Detection]], float]:
    """What a detector finds in each photo as fractions of it, and the seconds that its network took."""
    size, found, spent = served_size(), list[list[Detection]](), 0.0
    for start in range(0, len(data), AT_ONCE):
        some = data[start : start + AT_ONCE]
        squares, frames = letterbox([pixels_of(one.picture) for one in some], size, size)
        began = time.perf_counter()
        objects = detector(squares)
        spent += time.perf_counter() - began
        for frame, (boxes, confidences, classes) in zip(frames, objects, strict=True):
            rows = zip(boxes.tolist(), confidences.tolist(), classes.tolist(), strict=True)
            found.append([Detection(labels[kind], score, frame.to_image(box)) for box, score, kind in rows])
    return found, spent


def ap50(found: Sequence[Sequence[Detection]], data: Sequence[Marked], names: Sequence[str]) -> float:
    """AP50 of what was found on people's boxes, whose classes have these ``names``."""
    marked = [
        [(names[kind], tuple(box)) for box, kind in zip(one.boxes.tolist(), one.classes.tolist(), strict=True)]
        for one in data
    ]
    return round(average_precision(found, marked, OVERLAP), 4)


def compare(weights: Path, parts: dict[str, list[Marked]], device: str) -> dict[str, dict[str, dict[str, float]]]:
    """``{"1": {part: {"ap50": …, "ms": …}}, "2": …}`` of both versions as Triton would serve them.

    ``ms`` is milliseconds of the network a photo. The part ``held out`` is all the others together.
    """
    detectors = {version: opened(weights, device) for version, (_, opened) in VERSIONS.items()}
    return {version: measure(detector, parts, detectors["1"].names) for version, detector in detectors.items()}


def measure(detector: Any, parts: dict[str, list[Marked]], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """``{part: {"ap50": …, "ms": …}}`` of one detector, as :func:`compare`; people's classes have these ``names``."""
    looked = {name: look(detector, data, detector.names) for name, data in parts.items()}
    looked["held out"] = [one for found, _ in looked.values() for one in found], sum(s for _, s in looked.values())
    data = {**parts, "held out": [one for some in parts.values() for one in some]}
    return {
        name: {"ap50": ap50(found, data[name], names), "ms": round(1000 * spent / len(found), 1)}
        for name, (found, spent) in looked.items()
    }


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def describe(weights: Path, told: dict[str, Any]) -> Path:
    """Write ``faster-rcnn.json``, whole or not at all; files of weights that it no longer names go."""
    path = weights / DESCRIPTION
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(told, indent=1) + "\n")
    partial.replace(path)
    for file in weights.glob(f"{NAME}-*.pt"):
        if file.name != told["file"]:
            file.unlink(missing_ok=True)
    return path


def better(measured: dict[str, dict[str, dict[str, float]]]) -> int:
    """The version that should serve: 2 only where it finds more of what is held out."""
    return 2 if measured["2"]["held out"]["ap50"] > measured["1"]["held out"]["ap50"] else 1


def ap50_of(net: torch.nn.Module, data: Sequence[Marked], size: int, names: Sequence[str], device: str) -> float:
    """AP50 of a network that is being trained, on squares of its own size."""
    network = code(2, "network")
    labels = network.labels(network.LITE0, list(names))
    named = np.array([bool(label) for label in labels])

    @torch.inference_mode()
    def detector(squares: np.ndarray) -> list[Any]:
        pixels = torch.from_numpy(squares).to(device).permute(0, 3, 1, 2).float() / 255
        found = net(list(pixels))
        return [
            network.as_objects({key: each.cpu() for key, each in one.items()}, squares.shape[1], named) for one in found
        ]

    net.eval()
    return ap50(look(detector, data, labels)[0], data, names)
