from __future__ import annotations

import numpy as np

from streams.cli.sheet import COLUMNS, GAP, MARKS, MISSING, QUERY, STRIP, TILE, Mark, Tile, sheet

BLUE = np.zeros((40, 80, 3), np.uint8) + np.array([0, 0, 255], np.uint8)


def test_a_sheet_shows_the_query_its_boxes_its_colours_and_the_hits() -> None:
    tiles = [Tile(BLUE, (0.25, 0.25, 0.75, 0.75), ("pin 1", "visual 0.90")), Tile(None, (0, 0, 1, 1), ("pin 2", ""))]
    palette = [("#ff0000", 0.75), ("#00ff00", 0.25)]
    drawn = sheet(BLUE, [Mark((0.5, 0.5, 1, 1), "chair")], palette, tiles)
    first = 3 * GAP + QUERY
    assert drawn.getpixel((GAP + 10, GAP + 10)) == (0, 0, 255), "the query"
    assert drawn.getpixel((GAP + QUERY // 2 + 100, GAP + QUERY // 2 - 2)) == MARKS[0], "the lower edge of its box"
    strip = QUERY + 2 * GAP + STRIP // 2
    assert drawn.getpixel((GAP + 10, strip)) == (255, 0, 0), "three quarters red"
    assert drawn.getpixel((GAP + QUERY - 10, strip)) == (0, 255, 0), "one quarter green"
    assert drawn.getpixel((first + TILE // 4, GAP + TILE // 4)) == MARKS[0], "the left edge of the hit's box"
    assert drawn.getpixel((first + TILE + GAP + 3, GAP + 3)) == MISSING, "a hit without a picture is a grey tile"


def test_a_sheet_grows_with_its_hits_and_needs_none() -> None:
    none = sheet(None, [], [], [])
    many = sheet(BLUE, [], [], [Tile(BLUE, (0, 0, 1, 1), ("pin 1", "a very long caption " * 9))] * (COLUMNS * 4 + 1))
    assert none.width == many.width and many.height > 5 * TILE > none.height


def test_pictures_of_any_shape_fit() -> None:
    for shape in ((1, 1, 3), (1, 900, 3), (900, 1, 3)):
        sheet(np.zeros(shape, np.uint8), [Mark((0, 0, 1, 1))], [], [Tile(np.zeros(shape, np.uint8), (0, 0, 1, 1), ())])
