"""Why a pin stands on a board."""

from __future__ import annotations

from enum import IntFlag


class Origin(IntFlag):
    """Why a pin stands on a board; an edge lives while one reason does. The bits are those of an edge's mark."""

    SAVED = 1
    HOME = 2
