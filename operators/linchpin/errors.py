"""What is wrong with a spec, every fault with its place."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple


class At(NamedTuple):
    """A place in the text; both count from 1."""

    line: int
    column: int


class Fault(NamedTuple):
    """One thing that is wrong, and where."""

    at: At
    message: str

    def __str__(self) -> str:
        return f"{self.at.line}:{self.at.column}: {self.message}"


class SpecError(ValueError):
    """A spec that cannot be used, with all of its faults in the order of the text."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(set(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class RunError(ValueError):
    """Columns that a spec cannot be run on, or a transform that gave something else than it promised."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``", did you mean X?"`` for the known name that is most like it, or nothing."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    if not found:
        by_lower = {each.lower(): each for each in known}
        found = [by_lower[name.lower()]] if name.lower() in by_lower else []
    return f", did you mean {found[0]}?" if found else ""
