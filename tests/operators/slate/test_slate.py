import msgspec
import pytest

from operators.slate.explain import explain
from operators.slate.slate import Item, Probabilities, Slate, Stage, decode, encode, slate_id

SLATE = Slate(
    slate=slate_id(7, 11),
    pinner=7,
    trigger_event=11,
    now=1_000,
    trigger_logged=2_000,
    emitted=2_120,
    freshness_ms=120,
    items=[Item(3, 0.5, {"visual": 0.75}, Probabilities(0.25, 0.5, 0.125, 0.0)), Item(4, 0.25, {"fresh": 1.0})],
    models={"ranker": "1"},
    degraded=["source.boards"],
    seed=5,
    stages=[Stage("sources", 0, 9, 1.5)],
    dropped={"seen": 2},
    dropped_pins={"seen": [8, 9]},
)


def test_json_there_and_back():
    assert decode(encode(SLATE)) == SLATE


def test_stages_say_in_and_out():
    assert msgspec.json.decode(encode(SLATE))["stages"] == [{"name": "sources", "in": 0, "out": 9, "milliseconds": 1.5}]


def test_anything_else_is_refused():
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"slate": "x"}')


def test_a_slate_is_named_by_pinner_and_trigger():
    assert slate_id(7, 11) == slate_id(7, 11) and len({slate_id(7, 11), slate_id(7, 12), slate_id(8, 11)}) == 3


def test_why_a_pin_is_there_or_not():
    assert "Place 1 of 2" in explain(SLATE, 3) and "visual" in explain(SLATE, 3) and "25.0%" in explain(SLATE, 3)
    assert "ranker did not answer" in explain(SLATE, 4)
    assert "shown to the pinner before" in explain(SLATE, 8)
    assert "no source" in explain(SLATE, 99)
