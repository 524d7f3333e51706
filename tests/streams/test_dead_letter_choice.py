"""Which letters are chosen, and how times and mended fields are said."""

from __future__ import annotations

import json
import time

import click
import pytest

from operators.rejection import Reason
from streams.cli.dead_letters import _range, readable
from streams.cli.dead_letters_redrive import _assignments
from streams.cli.times import milliseconds
from streams.dead_letter_log import Entry, Redriven, Redrives, Wanted, letter_id
from streams.dead_letters import DeadLetter
from streams.redrive import edit_fields


def entry(**fields) -> Entry:
    known = {name: fields.pop(name) for name in ("written", "attempt", "redriven") if name in fields}
    given = {
        "topic": "saves",
        "partition": 1,
        "offset": 7,
        "reason": Reason.BAD_ID,
        "value": b'{"pin": "\xc3\xa9"}',
        **fields,
    }
    letter = DeadLetter(
        id=letter_id(given["topic"], given["partition"], given["offset"]), detail="", logged=0,
        size=fields.pop("size", len(given["value"] or b"")), **{name: v for name, v in given.items() if name != "size"},
    )  # fmt: skip
    return Entry(letter, **{"written": 1000, "attempt": 0, "redriven": False, **known})


@pytest.mark.parametrize(
    ("wanted", "is_in"),
    [
        (Wanted(), True),
        (Wanted(topics=frozenset(["clicks", "saves"])), True),
        (Wanted(topics=frozenset(["clicks"])), False),
        (Wanted(reasons=frozenset(["bad_id"])), True),
        (Wanted(reasons=frozenset(["bad_json"])), False),
        (Wanted(partition=1), True),
        (Wanted(partition=0), False),
        (Wanted(first=7, last=7), True),
        (Wanted(first=8), False),
        (Wanted(last=6), False),
        (Wanted(since=1000, before=1001), True),
        (Wanted(since=1001), False),
        (Wanted(before=1000), False),
        (Wanted(text="é"), True),
        (Wanted(text="e"), False),
    ],
)
def test_a_letter_is_wanted_or_not(wanted: Wanted, is_in: bool):
    assert (entry() in wanted) == is_in


def test_what_was_sent_back_is_wanted_only_when_asked_for():
    assert entry(redriven=True) not in Wanted() and entry(redriven=True) in Wanted(redriven=True)
    assert entry(value=None) in Wanted() and entry(value=None) not in Wanted(text="x")


def test_a_copy_is_known_by_where_it_lies():
    redrives = Redrives()
    first, copy = letter_id("saves", 1, 7), letter_id("saves", 1, 90)
    redrives.add(Redriven(id=first, topic="saves", partition=1, offset=7, copy_offset=90, attempt=1))
    redrives.add(Redriven(id=copy, topic="saves", partition=1, offset=90, copy_offset=95, attempt=2))
    assert redrives.is_done(first) and redrives.is_done(copy)
    again = letter_id("saves", 1, 95)
    assert not redrives.is_done(again)
    assert [redrives.attempt(each) for each in (first, copy, again)] == [0, 1, 2]


def test_times():
    now = time.time() * 1000
    assert milliseconds("2h") == pytest.approx(now - 7_200_000, abs=5_000)
    assert milliseconds("1.5m ago") == pytest.approx(now - 90_000, abs=5_000)
    assert milliseconds("2026-05-01") == milliseconds("2026-05-01T02:00+02:00") == 1_777_593_600_000
    with pytest.raises(ValueError, match="no time"):
        milliseconds("yesterday")


def test_offsets():
    assert [_range(text) for text in (None, "5", "5-9", "5-", "-9")] == [(0, None), (5, 5), (5, 9), (5, None), (0, 9)]
    with pytest.raises(click.BadParameter):
        _range("a-b")


def test_fields_are_set_in_objects_only():
    edit = edit_fields(_assignments(("board=7", "surface=home", 'note="7"', "slate=null")))
    assert json.loads(edit(b'{"board": -1, "big": 123456789012345678901234567890}') or b"") == {
        "board": 7, "big": 123456789012345678901234567890, "surface": "home", "note": "7", "slate": None,
    }  # fmt: skip
    assert [edit(value) for value in (b"[]", b"{", b"\xff", b"[" * 100_000)] == [None] * 4
    with pytest.raises(click.BadParameter):
        _assignments(("board",))


def test_a_record_is_text_or_hex_and_steers_no_terminal():
    assert readable(entry(value=b"\x1b[2J\xc3\xa9\n").letter) == "\\u001b[2Jé\n"
    assert readable(entry(value=b"\xff\x00").letter) == "ff 00"
    assert readable(entry(value=b"ab\xc3", size=99).letter) == "ab", "cut inside a character"
    assert "nothing is kept" in readable(entry(value=None).letter)
