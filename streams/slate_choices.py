"""Choices that people may change while slates are made: ``slates.toml`` in the home folder, read when it changes."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from operators.slate.choices import Choices

log = logging.getLogger(__name__)
FILE = "slates.toml"

_read: dict[Path, tuple[int, Choices]] = {}


def choices_of(home: Path) -> Choices:
    """The choices in ``home / slates.toml`` over the defaults. A file that cannot be used is logged and ignored."""
    path = home / FILE
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        return Choices()
    before = _read.get(path)
    if before is None or before[0] != changed:
        try:
            choices = msgspec.toml.decode(path.read_bytes(), type=Choices)
        except msgspec.DecodeError as error:  # also ValidationError: a name or value that does not fit
            log.error("%s is not used: %s", path, error)
            choices = before[1] if before else Choices()
        before = _read[path] = (changed, choices)
    return before[1]
