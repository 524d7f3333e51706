"""What a check of ``pinstream doctor`` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One plain sentence, and the fix when something is wrong. ``state`` is ``good``, ``note`` or ``wrong``."""

    check: str
    state: str
    sentence: str
    fix: str = ""


def good(check: str, sentence: str) -> Finding:
    return Finding(check, "good", sentence)


def note(check: str, sentence: str, fix: str = "") -> Finding:
    """Nothing is broken, but it will be, or a person may want to know."""
    return Finding(check, "note", sentence, fix)


def wrong(check: str, sentence: str, fix: str) -> Finding:
    return Finding(check, "wrong", sentence, fix)
