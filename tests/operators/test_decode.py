"""Decoding: every record ends in exactly one place, and bad ones disturb nobody."""

import json
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from operators.batch import ENGAGEMENT_COLUMNS, Records, Source
from operators.decode import decode_engagement, decode_events
from operators.domain import domain_of
from operators.events import ENGAGEMENT_TOPICS, Kind, PinEvent, PinnerEvent, Surface
from operators.identity import MAX_ID, stable_id
from operators.parsing import MAX_BYTES
from operators.rejection import Reason, Warned

LOGGED = 1_770_000_000_000
TIME = LOGGED - 5_000
SAVE = {"time": TIME, "pinner": 11, "pin": 12, "board": 13}
CLICK = {"type": "closeup", "time": TIME, "pinner": 11, "pin": 12}
IMPRESSION = {"time": TIME, "pinner": 11, "pin": 12, "slate": 14, "position": 3}
PIN = {
    "type": "created",
    "time": TIME,
    "pin": 12,
    "pinner": 11,
    "image": "file:///a.jpg",
    "link": "https://a.example/x",
}
PINNER = {"type": "followed", "time": TIME, "pinner": 11, "pinners": [15, "someone"]}
CROP = {"time": TIME, "pinner": 11, "pin": 12, "box": [0.1, 0.2, 0.6, 1]}
VALID = {"saves": SAVE, "clicks": CLICK, "impressions": IMPRESSION, "pins": PIN, "pinners": PINNER, "crops": CROP}


def records(topic: str, values: list[bytes | None], first: int = 100) -> Records:
    n = len(values)
    return Records.of(Source(topic, 2, first, first + n - 1), np.arange(first, first + n), np.full(n, LOGGED), values)


def message(event: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**event, **changes}).encode()


def places(topic: str, values: list[bytes | None]) -> tuple[list[int], list[int]]:
    """Offsets of the good and of the rejected."""
    batch = records(topic, values)
    if topic not in ENGAGEMENT_TOPICS:
        decoded = decode_events(batch)
        good = [offset for offset, _, _ in decoded.good]
    else:
        decoded = decode_engagement(batch)
        good = decoded.good.offset.tolist()
        assert all(len(getattr(decoded.good, name)) == len(good) for name in ENGAGEMENT_COLUMNS)
        assert (decoded.good.event_id >= 1).all()
        assert (decoded.good.pinner >= 1).all()
    return good, [reject.offset for reject in decoded.rejects]


def test_a_save_becomes_one_row_of_columns() -> None:
    value = message(SAVE, event_id=9, slate="s", position=0, surface="home")
    good = decode_engagement(records("saves", [value])).good
    assert {name: getattr(good, name).tolist() for name in ENGAGEMENT_COLUMNS} == {
        "offset": [100],
        "logged": [LOGGED],
        "time": [TIME],
        "event_id": [9],
        "kind": [Kind.SAVE],
        "pinner": [11],
        "pin": [12],
        "board": [13],
        "slate": [stable_id("s")],
        "position": [0],
        "surface": [Surface.HOME],
        "owner": [0],
        "domain": [0],
        "is_follower": [0],
        "sources": [0],
    }
    assert good.position.dtype == np.int16
    assert good.kind.dtype == good.surface.dtype == good.is_follower.dtype == np.uint8


def test_kinds_and_what_is_unknown() -> None:
    values = [message(CLICK, type=kind) for kind in ("closeup", "outbound", "hide")]
    clicks = decode_engagement(records("clicks", values)).good
    assert clicks.kind.tolist() == [Kind.CLOSEUP, Kind.OUTBOUND_CLICK, Kind.HIDE]
    assert clicks.board.tolist() == clicks.slate.tolist() == [0, 0, 0]
    assert clicks.position.tolist() == [-1, -1, -1]
    shown = decode_engagement(records("impressions", [message(IMPRESSION)])).good
    assert (shown.kind[0], shown.surface[0], shown.position[0]) == (Kind.IMPRESSION, Surface.HOME, 3)


def test_ids_as_integers_text_and_digits_are_mapped_as_documented() -> None:
    values = [message(SAVE, pin=pin) for pin in (12, "12", "012", "pin twelve", "１２", " 12", MAX_ID)]
    good = decode_engagement(records("saves", values)).good
    assert good.pin.tolist() == [stable_id(pin) for pin in (12, "12", "012", "pin twelve", "１２", " 12", MAX_ID)]
    assert len(set(good.pin.tolist())) == 5, "only 12, '12' and '012' are one pin"


def test_without_event_id_equal_events_are_equal_and_any_difference_counts() -> None:
    differing = [{"pinner": 1}, {"pin": 1}, {"board": 1}, {"time": TIME - 1}, {"slate": 1}, {"position": 0}]
    values = [message(SAVE), message(SAVE, pin="12"), *(message(SAVE, **change) for change in differing)]
    ids = decode_engagement(records("saves", values)).good.event_id.tolist()
    assert ids[0] == ids[1]
    assert len(set(ids)) == len(ids) - 1
    # Stored: these never change.
    assert ids[0] == 3989203291346539971
    assert ids[0] not in decode_engagement(records("clicks", [message(CLICK)])).good.event_id


BAD: list[tuple[str, bytes | None, Reason]] = [
    ("saves", None, Reason.EMPTY),
    ("saves", b"", Reason.EMPTY),
    ("saves", b" \n", Reason.EMPTY),
    ("saves", b"x" * (MAX_BYTES["saves"] + 1), Reason.OVERSIZED),
    ("saves", b'{"pin": "\xff"}', Reason.BAD_UTF8),
    ("saves", b"\xff", Reason.BAD_UTF8),
    ("saves", message(SAVE)[:-1], Reason.BAD_JSON),
    ("saves", message(SAVE) + b"{}", Reason.BAD_JSON),
    ("saves", message(SAVE) + b"\n" + message(SAVE), Reason.BAD_JSON),
    ("saves", b"{'time': 1}", Reason.BAD_JSON),
    ("saves", b'{"time": NaN}', Reason.BAD_JSON),
    ("saves", b'{"later": ' + b"[" * 50_000 + b"]" * 10_000, Reason.BAD_JSON),
    ("saves", b"[]", Reason.NOT_AN_OBJECT),
    ("saves", b"null", Reason.NOT_AN_OBJECT),
    ("saves", b"12", Reason.NOT_AN_OBJECT),
    ("saves", message(SAVE, pin=[1]), Reason.WRONG_TYPE),
    ("saves", message(SAVE, pin=True), Reason.WRONG_TYPE),
    ("saves", message(SAVE, pin=1.5), Reason.WRONG_TYPE),
    ("saves", message(SAVE, pin=None), Reason.WRONG_TYPE),
    ("saves", message(SAVE, time="now"), Reason.WRONG_TYPE),
    ("saves", b'{"time": 1e999}', Reason.WRONG_TYPE),
    ("pins", message(PIN, title=1), Reason.WRONG_TYPE),
    ("saves", b"{}", Reason.MISSING_FIELD),
    ("saves", message(CLICK), Reason.MISSING_FIELD),
    ("pinners", message(PINNER, pinners=[]), Reason.MISSING_FIELD),
    ("saves", message(SAVE, pin=0), Reason.BAD_ID),
    ("saves", message(SAVE, pin=-1), Reason.BAD_ID),
    ("saves", message(SAVE, pin=2**63), Reason.BAD_ID),
    ("saves", b'{"pin": ' + b"9" * 5000 + b"}", Reason.BAD_ID),
    ("saves", message(SAVE, pin=""), Reason.BAD_ID),
    ("saves", message(SAVE, event_id=0), Reason.BAD_ID),
    ("pinners", message(PINNER, pinners=[1, 0]), Reason.BAD_ID),
    ("crops", message(CROP, box=[0.6, 0.2, 0.1, 1]), Reason.BAD_BOX),
    ("crops", message(CROP, box=[0.1, 0.2, 0.1, 1]), Reason.BAD_BOX),
    ("crops", message(CROP, box=[0.1, 0.2, 0.6, 1.01]), Reason.BAD_BOX),
    ("crops", message(CROP, box=[-0.1, 0.2, 0.6, 1]), Reason.BAD_BOX),
    ("crops", message(CROP, box=[0.1, 0.2, 0.6]), Reason.BAD_BOX),
    ("crops", message(CROP, box=[0.1, 0.2, 0.6, "1"]), Reason.WRONG_TYPE),
    ("crops", message(CROP, box=[0.6, 0, 0.1, 1], time=LOGGED + 25 * 3_600_000), Reason.TIME_IN_FUTURE),
    ("crops", b'{"time": %d, "pinner": 1, "pin": 2}' % TIME, Reason.MISSING_FIELD),
    ("saves", message(SAVE, v=0), Reason.BAD_VERSION),
    ("saves", message(SAVE, v="2"), Reason.BAD_VERSION),
    ("saves", message(SAVE, v=2**40), Reason.BAD_VERSION),
    ("saves", message(SAVE, position=-1), Reason.BAD_POSITION),
    ("saves", message(SAVE, position=32768), Reason.BAD_POSITION),
    ("clicks", message(CLICK, type="wink"), Reason.UNKNOWN_TYPE),
    ("pins", message(PIN, type="touched"), Reason.UNKNOWN_TYPE),
    ("saves", message(SAVE, surface="moon"), Reason.UNKNOWN_SURFACE),
    ("saves", message(SAVE, time=TIME // 1000), Reason.TIME_TOO_OLD),
    ("saves", message(SAVE, time=-TIME), Reason.TIME_TOO_OLD),
    ("saves", message(SAVE, time=LOGGED + 86_400_001), Reason.TIME_IN_FUTURE),
    ("pins", message(PIN, time=LOGGED + 86_400_001), Reason.TIME_IN_FUTURE),
    ("saves", message(SAVE, time=TIME * 1000), Reason.TIME_IN_FUTURE),
    ("saves", message(SAVE, time=10**30), Reason.TIME_IN_FUTURE),
]


@pytest.mark.parametrize(("topic", "bad", "reason"), BAD, ids=lambda case: str(case)[:40])
def test_a_bad_record_is_set_aside_by_offset_with_its_reason(topic: str, bad: bytes | None, reason: Reason) -> None:
    good = message(VALID[topic])
    batch = records(topic, [good, bad, good])
    decoded = decode_events(batch) if topic not in ENGAGEMENT_TOPICS else decode_engagement(batch)
    assert len(decoded.good) == 2
    (reject,) = decoded.rejects
    assert (reject.offset, reject.reason, reject.value, reject.logged) == (101, reason, bad, LOGGED)
    assert reject.detail or reason == Reason.EMPTY


def test_every_reason_that_decoding_can_give_is_tried() -> None:
    elsewhere = {reason for reason in Reason if reason.startswith("image_")} | {Reason.ERASED_PINNER}
    assert {reason for _, _, reason in BAD} == set(Reason) - elsewhere


def test_just_inside_the_limits() -> None:
    times = [1_104_537_600_000, LOGGED + 86_400_000]
    edges: list[dict[str, Any]] = [{"time": time} for time in times]
    edges += [{"position": 32767}, {"pin": MAX_ID}, {"board": "x"}, {"slate": None}]
    decoded = decode_engagement(records("saves", [message(SAVE, **edge) for edge in edges]))
    assert decoded.rejects == []
    assert decoded.good.time[:2].tolist() == times


def test_a_broker_without_timestamps_sets_no_limit() -> None:
    batch = replace(records("saves", [message(SAVE, time=LOGGED * 2)]), logged=np.array([-1]))
    assert len(decode_engagement(batch).good) == 1


def test_newer_versions_and_unknown_fields_are_used_and_counted() -> None:
    values = [message(SAVE), message(SAVE, v=2, mood="calm"), message(SAVE, mood={"a": [1, {}]}), message(SAVE, v=7)]
    decoded = decode_engagement(records("saves", values))
    assert len(decoded.good) == 4
    assert decoded.warnings == {Warned.UNKNOWN_FIELD: 2, Warned.NEWER_VERSION: 2}
    same = decode_events(records("pins", [message(PIN), message(PIN, mood=1, v=2)]))
    assert same.warnings == {Warned.UNKNOWN_FIELD: 1, Warned.NEWER_VERSION: 1}
    assert [type(event) for _, _, event in same.good] == [PinEvent, PinEvent]


def test_pins_and_pinners_come_with_integer_ids_and_domain() -> None:
    ((offset, logged, pin),) = decode_events(records("pins", [message(PIN, pin="p", board="b", event_id="e")])).good
    assert (offset, logged) == (100, LOGGED)
    ids = {"pin": stable_id("p"), "board": stable_id("b"), "event_id": stable_id("e")}
    expected = PinEvent(**{**PIN, **ids, "board_name": "b", "domain": "a.example"})
    assert pin == expected
    ((_, _, pinner),) = decode_events(records("pinners", [message(PINNER)])).good
    assert isinstance(pinner, PinnerEvent)
    assert pinner.pinners == [15, stable_id("someone")]
    assert pinner.event_id is not None
    again = decode_events(records("pinners", [message(PINNER), message(PINNER, time=TIME + 1)])).good
    assert [event.event_id == pinner.event_id for _, _, event in again] == [True, False]


def test_other_topics_are_refused() -> None:
    with pytest.raises(ValueError, match="not 'pins'"):
        decode_engagement(records("pins", []))
    with pytest.raises(KeyError):
        decode_events(records("dead.letters", []))


@pytest.mark.parametrize("topic", VALID)
def test_an_empty_batch(topic: str) -> None:
    assert places(topic, []) == ([], [])


text = st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | text
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
fields = st.sampled_from(sorted({name for event in VALID.values() for name in event} | {"v", "event_id", "surface"}))
nearly = st.builds(
    lambda event, changes: json.dumps({**event, **changes}).encode(),
    st.sampled_from(list(VALID.values())),
    st.dictionaries(fields, anything, max_size=2),
)
values = st.none() | st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode()) | nearly


@given(st.sampled_from(sorted(VALID)), st.lists(values, max_size=12))
@settings(deadline=None)
@example("saves", [message(SAVE)[:20], message(SAVE)[20:]])
def test_every_record_ends_in_exactly_one_place(topic: str, stream: list[bytes | None]) -> None:
    good, rejected = places(topic, stream)
    assert sorted(good + rejected) == list(range(100, 100 + len(stream)))
    assert good == sorted(good)
    assert rejected == sorted(rejected)
    # And alone each would have ended in the same place.
    for at, value in enumerate(stream):
        assert places(topic, [value])[0] == ([100] if 100 + at in good else [])


def test_twenty_thousand_mutated_events() -> None:
    chance = random.Random(7)
    counts = {"good": 0, "rejected": 0}
    for topic, event in VALID.items():
        stream = [_mutated(message(event), chance) for _ in range(4_000)]
        for start in range(0, len(stream), 200):
            good, rejected = places(topic, stream[start : start + 200])
            assert sorted(good + rejected) == list(range(100, 300))
            counts["good"] += len(good)
            counts["rejected"] += len(rejected)
    assert counts["good"] > 500
    assert counts["rejected"] > 10_000


def _mutated(value: bytes, chance: random.Random) -> bytes:
    out = bytearray(value)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(out) + 1)
        match chance.randrange(4):
            case 0:
                out[at:at] = chance.randbytes(chance.randint(1, 3))
            case 1:
                del out[at : at + chance.randint(1, 4)]
            case 2:
                out[at : at + 1] = chance.choice(b'0123456789-.eE{}[]",: \n\\ntf').to_bytes(1, "big")
            case _:
                other = chance.randrange(len(out) + 1)
                out[at:at] = out[other : other + chance.randint(1, 12)]
    return bytes(out)


@pytest.mark.parametrize(
    ("link", "domain"),
    [
        ("https://www.Example.COM:8443/a?b#c", "example.com"),
        ("http://user:secret@shop.example/", "shop.example"),
        ("HTTPS://bücher.example./x", "xn--bcher-kva.example"),
        ("example.com/recipe", "example.com"),
        ("example.com:80/recipe", "example.com"),
        ("//cdn.example/x", "cdn.example"),
        ("localhost:8080", "localhost"),
        ("http://[::1]:80/", "::1"),
        ("http://192.0.2.7/a", "192.0.2.7"),
        ("http://a_b.example", "a_b.example"),
        ("", ""),
        ("mailto:a@b.example", ""),
        ("javascript:alert(1)", ""),
        ("http://", ""),
        ("http://[::1", ""),
        ("http://..", ""),
        ("http://" + "a" * 64 + ".example", ""),
        ("http://a b/", ""),
    ],
)
def test_the_domain_of_a_link(link: str, domain: str) -> None:
    assert domain_of(link) == domain


@given(st.text() | st.text().map("http://{}".format))
def test_a_domain_is_ascii_and_stays_itself(link: str) -> None:
    domain = domain_of(link)
    assert domain.isascii()
    if ":" not in domain:
        assert domain_of(domain) == domain
