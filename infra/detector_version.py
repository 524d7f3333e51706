"""Which version of the detector Triton is started with: 1 (YOLOv4-tiny) or 2 (Faster R-CNN).

Exactly one: Triton's Python backend can end when a version of a model loads while another serves. Version 2 is chosen
only when its weights are whole, and, unless it is asked for, when ``training.detector`` measured that it is better.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from streams.settings import Settings

#: Written by ``training.detector`` below ``<home>/weights``: the network, its file with its hash, what was measured.
DESCRIPTION = "faster-rcnn.json"
POLICY = re.compile(r"version_policy\s*\{\s*specific\s*\{\s*versions:\s*\[([\d,\s]+)\]\s*\}\s*\}")


class Chosen(NamedTuple):
    """A version, and a sentence for people where it is not the one that was asked for."""

    version: int
    complaint: str = ""


def chosen(settings: Settings) -> Chosen:
    """The version to start with. Never raises: whatever is wrong with version 2, version 1 serves."""
    if settings.detector not in ("auto", "1", "2"):
        return Chosen(1, f"PINSTREAM_DETECTOR={settings.detector!r} is none of auto, 1 and 2: detector 1 serves")
    if settings.detector == "1":
        return Chosen(1)
    description = settings.home / "weights" / DESCRIPTION
    if settings.detector == "auto" and not description.exists():
        return Chosen(1)
    try:
        told = json.loads(description.read_text())
        wrong = _wrong(description.parent, told)
        better = told.get("serve") == 2
    except FileNotFoundError:
        wrong, better = f"{description} is missing: train it (`python -m training.detector --help`)", False
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        wrong, better = f"{description} cannot be read ({error}): train again or remove it", False
    if wrong:
        return Chosen(1, f"detector 2 cannot serve, detector 1 does: {wrong}")
    return Chosen(2 if better or settings.detector == "2" else 1)


def _wrong(folder: Path, told: dict[str, Any]) -> str:
    """What is wrong with the weights that a description names; empty when nothing is."""
    file = folder / str(told["file"])
    if not file.exists():
        return f"{file} is missing: train again, or remove {folder / DESCRIPTION}"
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != told["sha256"]:
        return f"{file} is damaged (SHA-256 {found}, not {told['sha256']}): train again"
    return ""


def with_version(config: str, version: int) -> str:
    """A ``config.pbtxt`` that lets Triton serve this version alone."""
    policy = f"version_policy {{ specific {{ versions: [{version}] }} }}"
    return POLICY.sub(policy, config) if POLICY.search(config) else f"{config.rstrip()}\n{policy}\n"


def lets_serve(config: str) -> str | None:
    """The newest version that a ``config.pbtxt`` names; None where it names none, and the newest folder serves."""
    named = POLICY.search(config)
    return str(max(int(each) for each in named[1].split(",") if each.strip())) if named else None
