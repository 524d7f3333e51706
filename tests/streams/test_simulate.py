"""The simulator: reproducible, in time order, and what it draws can be told from what it was drawn from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from operators.events import EVENTS
from operators.identity import stable_id
from streams.cli.simulate import command
from streams.settings import PROJECT
from streams.traffic.lines import Line, decode_line, open_to_read
from streams.traffic.simulate import EVENTS_PER_SLATE, examination, pinner_events, traffic
from streams.traffic.world import DAY, World, draw_world

SAMPLE = PROJECT / "examples" / "sample"
END = 1_768_435_200_000


def a_world(seed: int = 3, pins: int = 400) -> World:
    return draw_world(
        np.arange(pins) % 4,
        ["hats", "shoes", "lamps", "rugs"],
        name="test",
        pinners=60,
        posters=8,
        domains=["a.example", "b.example"],
        days=10,
        seed=seed,
    )


@pytest.fixture(scope="module")
def world() -> World:
    return a_world()


@pytest.fixture(scope="module")
def lines(world: World) -> list[Line]:
    return list(traffic(world, slates=1_500, days=10, end=END))


def test_the_same_seed_gives_the_same_events_and_another_seed_others(lines: list[Line]) -> None:
    again = [line.encode() for line in traffic(a_world(), slates=1_500, days=10, end=END)]
    assert again == [line.encode() for line in lines]
    assert [line.encode() for line in traffic(a_world(4), slates=1_500, days=10, end=END)] != again


def test_events_are_valid_unique_and_in_time_order(lines: list[Line]) -> None:
    for line in lines:
        msgspec.convert(line.event, EVENTS[line.topic])
        assert line.key == line.event["pinner"]
    times = [line.event["time"] for line in lines]
    assert times == sorted(times)
    assert times[0] >= END - 10 * DAY and times[-1] <= END
    assert len({line.event["event_id"] for line in lines}) == len(lines)


def test_nothing_is_shown_before_it_exists_nor_again_after_a_save(world: World, lines: list[Line]) -> None:
    saved: dict[tuple[int, int], int] = {}
    slate_of_save: dict[tuple[int, int], str] = {}
    for line in lines:
        who_what = (line.event["pinner"], line.event["pin"])
        if line.topic == "saves":
            saved[who_what], slate_of_save[who_what] = line.event["time"], line.event["slate"]
        elif line.topic == "impressions":
            assert line.event["time"] >= END + world.created[line.event["pin"] - 1]
            if line.event["time"] > saved.get(who_what, END):
                assert line.event["slate"] == slate_of_save[who_what] or line.event["time"] - saved[who_what] < 60_000


def test_every_action_follows_an_impression_of_its_slate(lines: list[Line]) -> None:
    shown = {(line.event["slate"], line.event["pin"]): line for line in lines if line.topic == "impressions"}
    for line in lines:
        seen = shown[line.event["slate"], line.event["pin"]]
        assert seen.event["position"] == line.event["position"]
        assert seen.event["time"] <= line.event["time"]


def test_closeups_fall_with_position_as_the_examination_says(world: World, lines: list[Line]) -> None:
    counts = {topic: np.zeros(20) for topic in ("impressions", "clicks")}
    for line in lines:
        if line.event["surface"] == "home" and line.event.get("type", "closeup") == "closeup" and line.topic != "saves":
            counts[line.topic][line.event["position"]] += 1
    seen = counts["clicks"] / counts["impressions"]
    expected = examination(world, "home", np.arange(20))
    ratio = seen / expected
    # Bands of five positions hold over a thousand looks each: four standard errors are about a fifth.
    bands = [float(ratio[k : k + 5].mean()) for k in range(0, 20, 5)]
    assert max(bands) / min(bands) < 1.35, bands


def test_pinners_save_what_they_like(world: World, lines: list[Line]) -> None:
    saves = Counter(
        (line.event["pinner"], int(world.topic[line.event["pin"] - 1])) for line in lines if line.topic == "saves"
    )
    counts = np.array([[saves[p, t] for t in range(4)] for p in world.pinner.tolist()])
    active = counts.sum(1) >= 10
    assert active.sum() > 10
    assert (counts[active].argmax(1) == world.taste[active].argmax(1)).mean() > 0.8


def test_slates_make_as_many_events_as_stated(lines: list[Line]) -> None:
    assert len(lines) / 1_500 == pytest.approx(EVENTS_PER_SLATE, rel=0.15)


def test_pinners_follow_posters_and_never_themselves(world: World) -> None:
    for line in pinner_events(world, END, 10):
        msgspec.convert(line.event, EVENTS["pinners"])
        assert line.key not in line.event.get("pinners", [])
        assert all(followed <= 8 for followed in line.event.get("pinners", []))


def test_more_posters_than_pinners_is_refused() -> None:
    with pytest.raises(ValueError, match="5 posters among 4 pinners"):
        draw_world(np.zeros(3, int), ["x"], name="t", pinners=4, posters=5, domains=["d"], days=1, seed=1)


def test_the_command_writes_events_and_truth(tmp_path: Path) -> None:
    out, truth = tmp_path / "events.jsonl.gz", tmp_path / "truth.json"
    arguments = [
        "--pins",
        "40",
        "--pinners",
        "10",
        "--events",
        "500",
        "--out",
        str(out),
        "--truth",
        str(truth),
        "--json",
    ]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    account = json.loads(result.stdout)
    with open_to_read(str(out)) as file:
        lines = [decode_line(text) for text in file]
    assert len(lines) == account["delivered"]
    assert Counter(line.topic for line in lines) == account["by_topic"]
    told = json.loads(truth.read_text())
    assert told["simulated"] is True
    assert len(told["attractiveness"]) == 40 and len(told["taste"]) == 10
    assert CliRunner().invoke(command, []).exit_code == 2


def test_the_shipped_sample_is_whole() -> None:
    manifest = json.loads((SAMPLE / "manifest.json").read_text())
    with open_to_read(str(SAMPLE / "pins.jsonl.zst")) as file:
        pins = [decode_line(text) for text in file]
    assert {line.event["pin"] for line in pins} == {entry["pin"] for entry in manifest}
    for line in pins:
        msgspec.convert(line.event, EVENTS["pins"])
        assert (PROJECT / line.event["image"].removeprefix("file:")).is_file()
    assert (SAMPLE / "photos" / "LICENSE").read_text().startswith("Creative Commons Legal Code\n\nCC0 1.0")
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) < 6_000_000
    ids: set[int] = set()
    number = 0
    for name in ("pins", "pinners", "traffic"):
        with open_to_read(str(SAMPLE / f"{name}.jsonl.zst")) as file:
            for text in file:
                ids.add(stable_id(decode_line(text).event["event_id"]))
                number += 1
    assert len(ids) == number > 25_000
