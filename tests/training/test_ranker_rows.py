"""Training rows: labels come from the same slate, features from before it and from nothing later."""

import numpy as np
import pytest

from operators.slate.utility import ACTIONS
from streams.slate_spec import shipped
from streams.traffic.lines import Line
from training.exact_vectors import ExactVectors
from training.ranker_rows import training_rows

START = 1_760_000_000_000
DAY = 86_400_000
ANN, BOB = 1, 2


def pins(count: int = 8) -> list[Line]:
    events = [
        {"type": "created", "pin": pin, "pinner": 50 + pin % 2, "board": 900, "time": START - DAY + pin}
        for pin in range(101, 101 + count)
    ]
    return [Line("pins", event["pin"], event) for event in events]


def shown(slate: int, pinner: int, time: int, *shown_pins: int) -> list[Line]:
    events = [
        {"pinner": pinner, "pin": pin, "slate": slate, "position": k, "surface": "home", "time": time + k}
        for k, pin in enumerate(shown_pins)
    ]
    return [Line("impressions", pinner, event) for event in events]


def saved(slate: int, pinner: int, pin: int, time: int) -> Line:
    event = {"pinner": pinner, "pin": pin, "board": 7, "slate": slate, "time": time}
    return Line("saves", pinner, event)


def clicked(slate: int, pinner: int, pin: int, time: int, kind: str) -> Line:
    return Line("clicks", pinner, {"type": kind, "pinner": pinner, "pin": pin, "slate": slate, "time": time})


def vectors() -> ExactVectors:
    random = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    return ExactVectors(np.arange(101, 109), random / np.linalg.norm(random, axis=1, keepdims=True))


async def rows_of(lines: list[Line]) -> dict[str, np.ndarray]:
    return await training_rows(sorted(lines, key=lambda line: line.event["time"]), vectors())


def column(rows: dict[str, np.ndarray], name: str) -> list[float]:
    return rows["features"][:, shipped().names.index(name)].tolist()


async def test_labels_are_the_actions_on_the_same_slate_and_pin():
    rows = await rows_of(
        [
            *pins(),
            *shown(1, ANN, START, 101, 102, 103),
            saved(1, ANN, 102, START + 5_000),
            clicked(1, ANN, 102, START + 4_000, "closeup"),
            clicked(1, ANN, 103, START + 4_000, "hide"),
            *shown(2, BOB, START + DAY, 102),
            clicked(2, BOB, 102, START + DAY + 900, "outbound"),
        ]
    )
    positives = [(int(rows["pin"][row]), ACTIONS[head]) for row, head in np.argwhere(rows["labels"])]
    assert positives == [(102, "save"), (102, "closeup"), (103, "hide"), (102, "outbound_click")]
    assert rows["examination"].tolist() == pytest.approx([1, 2**-0.5, 3**-0.5, 1])


async def test_nothing_later_than_a_slates_first_impression_changes_its_features():
    before = [*pins(), *shown(1, ANN, START, 101, 102, 103), saved(1, ANN, 102, START + 5_000)]
    slate = shown(2, ANN, START + DAY, 102, 104, 105)
    after = [
        saved(2, ANN, 104, START + DAY + 1),
        clicked(2, ANN, 105, START + DAY + 1, "hide"),
        *shown(3, BOB, START + 2 * DAY, 104, 105),
        saved(3, BOB, 105, START + 2 * DAY + 9),
    ]
    without, alone = await rows_of(before + slate), await rows_of(before + slate + after)
    assert np.array_equal(without["features"][:6], alone["features"][:6])
    assert np.array_equal(without["baseline"][:6], alone["baseline"][:6])
    assert not np.array_equal(without["labels"][:6], alone["labels"][:6])


async def test_actions_are_those_before_the_slate_newest_first():
    before = [*pins(), *shown(1, ANN, START, 101, 102), saved(1, ANN, 102, START + 5_000)]
    before.append(clicked(1, ANN, 101, START + 6_000, "closeup"))
    after = [saved(2, ANN, 104, START + DAY + 1)]
    lines = sorted([*before, *shown(2, ANN, START + DAY, 104, 105), *after], key=lambda line: line.event["time"])
    rows = await training_rows(lines, vectors(), actions_too=True)
    assert rows["moment"].tolist() == [0, 0, 1, 1]
    assert rows["action_pin"].shape == (2, 100) and not rows["action_pin"][0].any()
    assert rows["action_pin"][1, :3].tolist() == [101, 102, 0]
    assert rows["action_time"][1, :2].tolist() == [START + 6_000, START + 5_000]
    assert "action_pin" not in await rows_of(lines)


async def test_what_came_before_shows_in_the_features():
    quiet = [*pins(), *shown(2, ANN, START + DAY, 101, 102)]
    lively = [*quiet, saved(5, ANN, 103, START), saved(6, BOB, 101, START)]
    first, second = await rows_of(quiet), await rows_of(lively)
    assert column(first, "no_relevance") == [1, 1] and column(second, "no_relevance") == [0, 0]
    assert column(second, "from_trending")[0] > 0 and column(second, "log_activity")[0] > 0
    assert column(second, "from_boards")[0] > 0


async def test_events_without_slates_make_no_rows():
    with pytest.raises(ValueError, match="no impression"):
        await rows_of(pins())
