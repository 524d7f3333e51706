"""Plain columns for people; ``--json`` is for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns under headings: numbers to the right, text to the left."""
    cells = [list(headings), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    right = [all(isinstance(row[column], int | float | None) for row in rows) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )


def moment(milliseconds: int) -> str:
    """A time in milliseconds since the epoch, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)
