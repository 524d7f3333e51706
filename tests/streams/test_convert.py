"""Converters: the mapping, synthetic times, bad lines, packed files, bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from operators.events import EARLIEST, EVENTS
from streams.cli.convert import command
from streams.traffic.convert import CONVERTERS, FIRST_TIME, STEP, Report, convert
from streams.traffic.lines import Line, decode_line, open_to_read, open_to_write


def converted(kind: str, text: str) -> tuple[list[Line], Report]:
    report = Report()
    return list(convert(kind, text.encode().splitlines(keepends=True), report)), report


def is_event(line: Line) -> bool:
    """Whether the engine's own types accept it."""
    time = max(line.event["time"], EARLIEST)  # `replay --now` moves older ones
    msgspec.convert({**line.event, "time": time}, EVENTS[line.topic])
    return True


def test_save_lists_become_saves_a_second_apart_in_file_order() -> None:
    lines, report = converted("saves", "7 11 12\nann 13\n")
    assert [(line.topic, line.key, line.event["pin"], line.event["board"]) for line in lines] == [
        ("saves", 7, 11, "board-of-7"),
        ("saves", 7, 12, "board-of-7"),
        ("saves", "ann", 13, "board-of-ann"),
    ]
    assert [line.event["time"] for line in lines] == [FIRST_TIME, FIRST_TIME + STEP, FIRST_TIME + 2 * STEP]
    assert all(map(is_event, lines))
    assert (report.rows, report.events, report.bad) == (2, 3, 0)


def test_zero_is_kept_as_text_because_ids_are_positive() -> None:
    lines, _ = converted("saves", "0 0\n")
    assert (lines[0].key, lines[0].event["pin"]) == ("0", "0")
    assert is_event(lines[0])


@pytest.mark.parametrize(
    "text",
    [
        "1::10::5::978300760\n1::11::3::978302109\n",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t5\t978300760\n1\t11\t3\t978302109\n",
        "userId,movieId,rating,timestamp\n1,10,4.0,978300760\n1,11,3.5,978302109\n",
    ],
    ids=["dat", "inter", "csv"],
)
def test_ratings_of_four_and_more_are_saves_and_lower_ones_closeups(text: str) -> None:
    lines, report = converted("movielens", text)
    assert [(line.topic, line.event.get("type"), line.event["time"]) for line in lines] == [
        ("saves", None, 978300760000),
        ("clicks", "closeup", 978302109000),
    ]
    assert all(map(is_event, lines))
    assert (report.bad, report.early) == (0, 2)


def test_behaviour_kinds() -> None:
    rows = "".join(f"1,{item},9,{kind},1511848894\n" for item, kind in enumerate(["pv", "fav", "cart", "buy"], 1))
    lines, _ = converted("behavior", rows)
    assert [(line.topic, line.event.get("type")) for line in lines] == [
        ("clicks", "closeup"),
        ("saves", None),
        ("saves", None),
        ("clicks", "outbound"),
    ]
    assert all(map(is_event, lines))


@pytest.mark.parametrize(
    ("kind", "row", "reason"),
    [
        ("saves", "7", "no item"),
        ("movielens", "1::2::x::978300760", "rating 'x'"),
        ("movielens", "1::2::nan::978300760", "rating 'nan'"),
        ("movielens", "1::2::5", "3 fields"),
        ("movielens", "1::2::5::1e300", "time"),
        ("movielens", "::2::5::978300760", "empty user"),
        ("behavior", "1,2,3,look,1511848894", "'look'"),
        ("behavior", "1,2,3,pv,1511848894000", "time"),
        ("behavior", "1,,3,pv,1511848894", "empty item"),
    ],
)
def test_a_bad_row_is_counted_with_its_line_and_the_rest_goes_on(kind: str, row: str, reason: str) -> None:
    good = {"saves": "1 2", "movielens": "1::2::5::978300760", "behavior": "1,2,3,pv,1511848894"}[kind]
    lines, report = converted(kind, f"{good}\n{row}\n{good}\n")
    assert (len(lines), report.rows, report.bad) == (2, 3, 1)
    assert report.examples[0].startswith("line 2: ")
    assert reason in report.examples[0]


@given(st.lists(st.binary(max_size=40)), st.sampled_from(sorted(CONVERTERS)))
def test_no_bytes_break_a_converter_and_every_row_is_accounted_for(rows: list[bytes], kind: str) -> None:
    report = Report()
    lines = list(convert(kind, rows, report))
    assert len(lines) == report.events
    assert report.bad <= report.rows <= len(rows)
    assert all(map(is_event, lines))


def test_memory_does_not_grow_with_the_file() -> None:
    def rows() -> Iterator[bytes]:
        for user in range(1, 20_001):
            yield b"%d 1 2 3 4 5\n" % user

    report = Report()
    tracemalloc.start()
    count = sum(1 for _ in convert("saves", rows(), report))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000
    assert peak < 1_000_000


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_the_command_writes_what_replay_reads(tmp_path: Path, ending: str) -> None:
    source = tmp_path / f"saves.txt{ending}"
    with open_to_write(str(source)) as file:
        file.write(b"1 2 3\n4\n")
    out = tmp_path / f"events.jsonl{ending}"
    result = CliRunner().invoke(command, ["saves", str(source), "-o", str(out), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "rows": 2,
        "events": 2,
        "bad": 1,
        "early": 0,
        "examples": ["line 2: no item after the user"],
    }
    with open_to_read(str(out)) as file:
        assert [decode_line(text).event["pin"] for text in file] == [2, 3]


def test_nothing_usable_is_a_failure(tmp_path: Path) -> None:
    source = tmp_path / "wrong.txt"
    source.write_text("no,such,file\n")
    assert CliRunner().invoke(command, ["behavior", str(source)]).exit_code == 1
    assert "No such file" in CliRunner().invoke(command, ["behavior", str(tmp_path / "missing")]).output


@pytest.mark.data
def test_the_real_save_lists_and_behaviour_log(shared_data: Path) -> None:
    for kind, path, events in (
        ("saves", "saves/test.txt", 210_148),
        ("behavior", "behavior/user_behavior.csv", 10_000),
    ):
        report = Report()
        with open_to_read(str(shared_data / path)) as rows:
            assert sum(1 for _ in convert(kind, rows, report)) == events
        assert report.bad == 0
