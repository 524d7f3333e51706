"""The scanner against the exact path: the same columns, rejects and warnings for any bytes."""

import json
import os
import random
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.batch import ENGAGEMENT_COLUMNS, Records, Source
from operators.decode import decode_engagement, decode_exactly, scanned
from operators.events import EVENTS, Kind, Surface
from operators.fields import FIELDS
from operators.identity import stable_id
from operators.scan import scan
from tests.fuzz.mutation import LOGGED, SPLICES, mutated

#: Mutated records of one run; ``PINSTREAM_FUZZ=1000000`` for the long one.
MUTATED = int(os.environ.get("PINSTREAM_FUZZ", "210000"))
TOPICS = ("saves", "clicks", "impressions")
UUID = "3f0e8a52-8f0c-4d5e-9f57-0a3c1b2d4e6f"
COMMON = {"time": LOGGED - 5, "pinner": 11, "pin": 2**62 + 12345}
SEEN_AT = {"slate": 77, "position": 3, "surface": "related"}
EVENTS_OF: dict[str, list[dict[str, Any]]] = {
    "saves": [{**COMMON, "board": 13}, {**COMMON, **SEEN_AT, "board": "b-7", "event_id": UUID, "v": 1}],
    "clicks": [{**COMMON, "type": "closeup"}, {"type": "outbound", "event_id": 9, **COMMON, **SEEN_AT, "v": 2}],
    "impressions": [{**COMMON, "slate": None}, {**COMMON, **SEEN_AT, "event_id": "12", "mood": "calm", "score": 0.25}],
}
VALID = {
    topic: [json.dumps(event).encode() for event in events]
    + [json.dumps(event, separators=(",", ":")).encode() for event in events]
    + [json.dumps(dict(reversed(event.items())), indent=1).encode() for event in events]
    for topic, events in EVENTS_OF.items()
}


def records(topic: str, values: list[bytes | None], logged: int = LOGGED) -> Records:
    n = len(values)
    return Records.of(Source(topic, 2, 100, 99 + n), np.arange(100, 100 + n), np.full(n, logged), values)


def assert_the_same(batch: Records) -> int:
    """Both paths agree; returns how many are good."""
    fast, exact = decode_engagement(batch), decode_exactly(batch)
    for name in ENGAGEMENT_COLUMNS:
        one, other = getattr(fast.good, name), getattr(exact.good, name)
        assert one.dtype == other.dtype
        if not np.array_equal(one, other):
            odd = np.setxor1d(fast.good.offset, exact.good.offset)
            row = int(odd[0]) if len(odd) else int(exact.good.offset[np.flatnonzero(one != other)[0]])
            pytest.fail(f"{name} differs for {batch.value(row - 100)!r}")
    assert fast.rejects == exact.rejects
    assert fast.warnings == exact.warnings
    return len(fast.good)


@pytest.mark.parametrize("topic", TOPICS)
def test_mutated_events_fare_the_same_on_both_paths(topic: str) -> None:
    chance = random.Random(topic)
    wanted, size = MUTATED // len(TOPICS), 2_000
    good = 0
    for _ in range(0, wanted, size):
        good += assert_the_same(records(topic, [mutated(chance.choice(VALID[topic]), chance) for _ in range(size)]))
    assert 0.1 < good / wanted < 0.9, "mutations should make both good and bad"


@pytest.mark.parametrize("topic", TOPICS)
def test_every_splice_in_every_place(topic: str) -> None:
    for value in VALID[topic][:4]:
        for splice in SPLICES:
            assert_the_same(records(topic, [value[:at] + splice + value[at:] for at in range(len(value) + 1)]))
        assert_the_same(records(topic, [*(value[:at] for at in range(len(value))), None, b"", value]))


@pytest.mark.parametrize("topic", TOPICS)
def test_every_splice_as_every_value_and_every_key(topic: str) -> None:
    for event in EVENTS_OF[topic]:
        pairs = [(orjson.dumps(name), orjson.dumps(value)) for name, value in event.items()]
        for at, (name, value) in enumerate(pairs):
            others = [(name, splice) for splice in SPLICES] + [(splice, value) for splice in SPLICES]
            written = [[*pairs[:at], other, *pairs[at + 1 :]] for other in others]
            assert_the_same(records(topic, [b"{%b}" % b",".join(b":".join(pair) for pair in all_) for all_ in written]))


scalars = (
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.integers(1, 99) | st.floats() | st.text(max_size=9)
)
nested = st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)
names = st.sampled_from((*FIELDS, "mood")) | st.text(max_size=9)
layouts: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"separators": (",", ":")}, {"indent": 2}, {"ensure_ascii": False}]
)


@st.composite
def nearly_events(draw: st.DrawFn) -> bytes:
    """An event with some fields changed, added or left out, in any order and layout."""
    event = draw(st.sampled_from([event for events in EVENTS_OF.values() for event in events]))
    values = scalars | nested | st.sampled_from(["home", "hide", UUID, "012", LOGGED])
    items = [*{**event, **draw(st.dictionaries(names, values, max_size=3))}.items()]
    kept = draw(st.permutations(items))[draw(st.sampled_from([0, 0, 0, 1])) :]
    return json.dumps(dict(kept), **draw(layouts)).encode(errors="surrogatepass")


@given(
    st.sampled_from(TOPICS),
    st.lists(st.none() | st.binary(max_size=40) | nearly_events(), max_size=8),
    st.integers(-1, 2**62),
)
@example("saves", [b'{"time":1,"time":2}', b" \n", b"{}"], -1)
def test_any_records_fare_the_same_on_both_paths(topic: str, values: list[bytes | None], logged: int) -> None:
    assert_the_same(records(topic, values))
    assert_the_same(records(topic, values, logged))


def code_of(name: str, value: Any) -> int:
    """What a column holds for a value that ``orjson`` read."""
    if name == "type":
        return {"closeup": Kind.CLOSEUP, "outbound": Kind.OUTBOUND_CLICK, "hide": Kind.HIDE}[value]
    if name == "surface":
        return Surface[value.upper()]
    if value is None:
        return -1 if name == "position" else 0
    return value if name in ("time", "position", "v") else stable_id(value)


@pytest.mark.parametrize("topic", TOPICS)
def test_what_the_scanner_takes_orjson_reads_to_the_same_values(topic: str) -> None:
    chance = random.Random(3)
    values = [mutated(chance.choice(VALID[topic]), chance) for _ in range(20_000)]
    columns, odd, unknown = scanned(records(topic, [*values]))
    known = {field.name for field in msgspec.structs.fields(EVENTS[topic])}
    taken = np.flatnonzero(~odd).tolist()
    assert len(taken) > 1_000
    for row in taken:
        event = orjson.loads(values[row])
        for name in known & event.keys():
            assert columns[FIELDS.index(name), row] == code_of(name, event[name]), values[row]
        assert unknown[row] == bool(event.keys() - known), values[row]


@pytest.mark.parametrize("topic", TOPICS)
def test_ordinary_events_are_not_odd(topic: str) -> None:
    """Else the exact path would hide a scanner that takes nothing."""
    values = [*VALID[topic], VALID[topic][1].replace(b'"slate": 77', b'"slate": null')]
    _, odd, unknown = scanned(records(topic, [*values]))
    assert not odd.any()
    assert unknown.tolist() == [b"mood" in value for value in values]


def test_odd_records_are_merged_in_their_place() -> None:
    plain, odd = VALID["saves"][0], VALID["saves"][0].replace(b'"pin"', b'"p\\u0069n"')
    values = [plain, odd, b"x", odd + b" ", None, plain, odd[:-1]]
    batch = records("saves", [*values])
    assert scanned(batch).odd.tolist() == [False, True, True, True, True, False, True]
    decoded = decode_engagement(batch)
    assert decoded.good.offset.tolist() == [100, 101, 103, 105]
    assert len(set(decoded.good.event_id.tolist())) == 1, "the same event, however it is written"
    assert [reject.offset for reject in decoded.rejects] == [102, 104, 106]


def test_writable_and_strided_records_need_no_other_compilation() -> None:
    batch = records("saves", [*VALID["saves"]])
    scanned(batch)
    compiled = len(scan.signatures)
    copies = Records(
        batch.source, batch.offsets, batch.logged, batch.buffer.copy(), np.repeat(batch.starts, 2)[::2], batch.lengths
    )
    assert scanned(copies).columns.tolist() == scanned(batch).columns.tolist()
    assert len(scan.signatures) == compiled


def test_bytes_around_a_record_are_not_read() -> None:
    value = VALID["saves"][0]
    buffer = np.frombuffer(b"9" + value + b"9}", np.uint8)
    for start, length, good in ((1, len(value), True), (0, len(value) + 1, False), (1, len(value) + 1, False)):
        batch = Records(
            Source("saves", 0, 0, 0),
            np.zeros(1, np.int64),
            np.array([LOGGED]),
            buffer,
            np.array([start]),
            np.array([length]),
        )
        assert len(decode_engagement(batch).good) == good
