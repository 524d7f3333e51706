"""Result sheets: a query with its boxes and colours, and what it found, as one picture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
from PIL import Image, ImageDraw, ImageFont

from streams.cli.ask import ask
from streams.images.fitting import Pixels
from streams.images.load import load_images
from streams.images.rejection import ImageRejected
from streams.settings import Settings

Box = Sequence[float]

#: Pixels: the query's side, a tile's side, the space around them, a line of text, the strip of colours.
QUERY, TILE, GAP, LINE, STRIP = 480, 200, 12, 18, 28
COLUMNS = 5
PAPER, INK, MISSING = (255, 255, 255), (30, 30, 30), (190, 190, 190)
#: Lines around boxes, one colour after the other, so that neighbours differ.
MARKS = ((230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (0, 128, 128))


class Mark(NamedTuple):
    """A box to draw (fractions of the picture), and what to write at it."""

    box: Box
    text: str = ""


class Tile(NamedTuple):
    """A hit: its picture, None where there is none to show; the box that matched; lines below it."""

    pixels: Pixels | None
    box: Box
    lines: tuple[str, ...]


def sheet(
    query: Pixels | None, marks: Sequence[Mark], palette: Sequence[tuple[str, float]], tiles: Sequence[Tile]
) -> Image.Image:
    """The picture of a result. ``palette`` has ``#rrggbb`` and share of each colour."""
    rows = -(-len(tiles) // COLUMNS)
    high = max(QUERY + STRIP + 3 * GAP, rows * (TILE + 2 * LINE + GAP) + 2 * GAP)
    paper = Image.new("RGB", (QUERY + COLUMNS * (TILE + GAP) + 3 * GAP, high), PAPER)
    _picture(paper, (GAP, GAP), QUERY, query, marks)
    _colours(paper, (GAP, QUERY + 2 * GAP), palette)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, COLUMNS)
        left, top = QUERY + 3 * GAP + column * (TILE + GAP), GAP + row * (TILE + 2 * LINE + GAP)
        _picture(paper, (left, top), TILE, tile.pixels, [Mark(tile.box)])
        for number, line in enumerate(tile.lines[:2]):
            _text(paper, (left, top + TILE + number * LINE), line)
    return paper


def write_sheet(
    path: Path,
    query: str | Pixels,
    marks: Sequence[Mark],
    palette: Sequence[tuple[str, float]],
    hits: Sequence[tuple[int, Box, str]],
) -> None:
    """Draw a sheet into ``path``: ``query`` is a picture or its reference, ``hits`` are pin, box and caption.

    Pictures of pins are loaded by this process from where the pins refer to, as the running worker says.

    Raises:
        OSError, ValueError: the file cannot be written, or its name ends like no picture's.
    """
    references = [_reference(pin) for pin, _, _ in hits]
    asked = [*references, *([query] if isinstance(query, str) else [])]
    pictures = [_or_none(each) for each in asyncio.run(load_images(Settings.load(), asked))]
    itself = pictures.pop() if isinstance(query, str) else query
    tiles = [
        Tile(pixels, box, (f"pin {pin}", caption)) for (pin, box, caption), pixels in zip(hits, pictures, strict=True)
    ]
    sheet(itself, marks, palette, tiles).save(path)


def _reference(pin: int) -> str | None:
    try:
        return str(ask("pins", str(pin))["image"])
    except click.ClickException:  # it was deleted a moment ago
        return None


def _or_none(loaded: Pixels | ImageRejected | None) -> Pixels | None:
    return None if isinstance(loaded, ImageRejected) else loaded


def _picture(
    paper: Image.Image, corner: tuple[int, int], side: int, pixels: Pixels | None, marks: Sequence[Mark]
) -> None:
    if pixels is None:
        ImageDraw.Draw(paper).rectangle((*corner, corner[0] + side - 1, corner[1] + side - 1), fill=MISSING)
        _text(paper, (corner[0] + GAP, corner[1] + side // 2 - LINE // 2), "no picture to show")
        return
    picture = Image.fromarray(pixels)
    scale = side / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    brush = ImageDraw.Draw(picture)
    for place, mark in enumerate(marks):
        colour = MARKS[place % len(MARKS)]
        wide, high = picture.width - 1, picture.height - 1
        left, top, right, bottom = mark.box
        brush.rectangle((left * wide, top * high, right * wide, bottom * high), outline=colour, width=3)
        if mark.text:
            _text(picture, (int(left * wide) + 4, int(top * high) + 3), mark.text, colour)
    paper.paste(picture, corner)


def _colours(paper: Image.Image, corner: tuple[int, int], palette: Sequence[tuple[str, float]]) -> None:
    brush, at = ImageDraw.Draw(paper), float(corner[0])
    for colour, share in palette:
        brush.rectangle((at, corner[1], at + share * QUERY - 1, corner[1] + STRIP - 1), fill=colour)
        at += share * QUERY


def _text(picture: Image.Image, corner: tuple[int, int], text: str, behind: tuple[int, int, int] | None = None) -> None:
    brush, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    if behind is not None:
        brush.rectangle(brush.textbbox(corner, text, font), fill=behind)
    brush.text(corner, text, PAPER if behind else INK, font)
