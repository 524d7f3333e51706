"""Python's garbage collector, for a process that makes a great many objects and keeps them."""

from __future__ import annotations

import gc


def collect_seldom() -> None:
    """A start makes 300,000 objects that stay, and a fetch 100,000. To look through them every 700 is a fifth of it."""
    gc.set_threshold(200_000, 50, 1000)
