"""Records: every slate is made again bit for bit from what was kept of it, and explained from it."""

import asyncio
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from operators.events import Kind, PinEvent, PinnerEvent
from operators.slate.choices import Choices
from operators.slate.explanation import filters_told, pin_told, places_told, sources_told, told_in_words
from operators.slate.exploration import Exploration
from operators.slate.ordering import Ordering
from operators.slate.record import FORMAT, RecordUnreadable, decode_record, encode_record
from operators.slate.replay import first_difference, replayed
from operators.slate.slate import decode
from operators.slate.utility import Weights
from streams.slate_records import chosen
from streams.slate_spec import shipped, spec_from
from streams.slate_trace import traced
from streams.slates import SlateRequest, build_slates, encode_slate
from tests.streams.slates_world import ANN, BOB, CHOICES, EVE, NOW, PINS, act, engine_of


@pytest.fixture
def engine(tmp_path):
    return engine_of(tmp_path)


async def made(engine, pinners=(ANN,), choices=CHOICES, event=77, **more):
    """Slates, and the bytes of their records."""
    records = []
    requests = [SlateRequest(pinner, event, NOW, NOW) for pinner in pinners]
    slates = await build_slates(engine, requests, choices, records=records, **more)
    assert len(records) == len(slates)
    messages = [encode_slate(slate) for slate in slates]
    return slates, [encode_record(replace(one, message=text)) for one, text in zip(records, messages, strict=True)]


def again(data):
    record = decode_record(data)
    return record, replayed(record, shipped())


async def test_random_slates_are_made_again_bit_for_bit(engine):
    random = np.random.default_rng(0)
    explored = degraded = 0
    for number in range(60):
        pinner = int(random.integers(1, 40))
        for kind in (Kind.SAVE, Kind.IMPRESSION, Kind.IMPRESSION, Kind.HIDE):
            act(engine, pinner, kind, *random.choice(PINS, random.integers(1, 12)).tolist())
        engine.models.fails, engine.vectors.fails = random.random() < 0.2, random.random() < 0.2
        choices = Choices(
            ordering=Ordering(
                size=int(random.integers(1, 60)), strength=float(random.choice([0, 0.4, 1.0])),
                method=str(random.choice(["dpp", "ssd"])),
            ),
            exploration=Exploration(share=float(random.choice([0, 0.06, 0.3]))),
            candidates=int(random.choice([20, 60, 1000])), weights=Weights(save=2) if number % 3 == 0 else None,
            source_seconds=5, vectors_seconds=5, rank_seconds=5,
        )  # fmt: skip
        slates, data = await made(engine, (pinner, pinner + 1), choices, event=number + 1, busy=number % 5 == 0)
        for slate, one in zip(slates, data, strict=True):
            record, replay = again(one)
            assert first_difference(record.message, replay.slate) == ""
            assert decode(record.message) == slate == replay.slate
            explored += sum(item.explored for item in slate.items)
            degraded += bool(slate.degraded)
    assert explored > 20 and degraded > 20


async def test_what_is_changed_in_a_record_is_found(engine):
    act(engine, ANN, Kind.SAVE, 100, 101)
    _, (data,) = await made(engine)
    record = decode_record(data)
    probabilities = record.probabilities.copy()
    probabilities[:, 0] = probabilities[::-1, 0]
    difference = first_difference(
        record.message, replayed(replace(record, probabilities=probabilities), shipped()).slate
    )
    assert difference.startswith("items[0]") and "went out" in difference and "in the replay" in difference
    header = msgspec.structs.replace(record.header, choices=msgspec.structs.replace(CHOICES, explained=0))
    act(engine, ANN, Kind.HIDE, 102)
    assert "dropped_pins" in first_difference(record.message, replayed(replace(record, header=header), shipped()).slate)


async def test_bytes_that_are_no_record_are_refused(engine):
    act(engine, ANN, Kind.SAVE, 100)
    _, (data,) = await made(engine)
    record = decode_record(data)
    for broken in (b"", b"\0\0\0\0", data[:-9], data[:4] + b"\xff" * 40, b"\xff" * 100):
        with pytest.raises(RecordUnreadable):
            decode_record(broken)
    header = msgspec.structs.replace(record.header, format=FORMAT + 1)
    with pytest.raises(RecordUnreadable, match=f"format {FORMAT + 1}"):
        decode_record(encode_record(replace(record, header=header)))


async def test_an_empty_slate_is_made_again_too(engine):
    act(engine, EVE, Kind.HIDE, *PINS.tolist())
    slates, (data,) = await made(engine, (EVE,))
    assert slates[0].items == []
    record, replay = again(data)
    assert first_difference(record.message, replay.slate) == ""


async def test_a_pin_that_went_while_the_ranker_was_asked_is_told(engine):
    act(engine, ANN, Kind.SAVE, 100)
    gone = (await made(engine))[0][0].items[0].pin
    engine.models.waits = 0.2
    building = asyncio.ensure_future(made(engine))
    while not engine.models.calls > 1:
        await asyncio.sleep(0)
    engine.state.apply_pins([(9_999, PinEvent(type="deleted", pin=gone, time=NOW))])
    _, (data,) = await building
    record, replay = again(data)
    assert first_difference(record.message, replay.slate) == ""
    assert "while the ranker was asked" in pin_told(record, replay, gone, shipped().names).why


async def test_every_candidate_is_accounted_for_in_words_and_numbers(engine):
    act(engine, ANN, Kind.SAVE, 100, 101)
    act(engine, ANN, Kind.IMPRESSION, 102)
    act(engine, ANN, Kind.HIDE, 104)
    engine.state.apply_pinner(PinnerEvent(type="followed", pinner=ANN, pinners=[53], time=NOW))
    (slate,), (data,) = await made(engine)
    record, replay = again(data)
    names = shipped().names
    dropped = {pin: each.name for each in filters_told(replay) for pin in each.pins}
    assert dropped[104] == "hidden" and dropped[102] == "seen"
    assert len(dropped) + len(replay.candidates) == len(record.candidates)
    told = places_told(replay, names)
    assert [each.pin for each in told] == [item.pin for item in slate.items]
    assert all(set(each.features) == set(names) and each.probabilities for each in told)
    sources = {each.name: each for each in sources_told(record, replay)}
    assert sources["boards"].kept > 0 and sources["visual"].share == slate.shares["visual"]
    assert "not a bit differs" in told_in_words(record, replay, "")[-1]
    for pin in record.candidates.pins.tolist():
        why = traced(pin_told(record, replay, pin, names), record, replay, shipped())
        assert why.why
        if pin not in dropped:
            utility = next(line for line in why.trace if line.name == "utility")
            assert utility.value == pytest.approx(why.utility, rel=1e-6)
            assert set(utility.terms) == {"save", "closeup", "outbound_click", "hide"}
            assert sum(utility.terms.values()) == pytest.approx(why.utility, rel=1e-5)
    assert "no candidate" in pin_told(record, replay, 999_999, names).why
    assert pin_told(record, replay, 104, names).why.endswith("(filter hidden).")


async def test_a_spec_is_read_back_from_what_was_kept_of_it():
    spec = spec_from(shipped().text, shipped().files)
    assert spec.version == shipped().version and spec.names == shipped().names


async def test_shares_follow_what_came_of_each_source(engine):
    """Ann saves what the visual source proposes and hides the rest; Bob is new."""
    counts = np.zeros((len(engine.state.rewards.everybody), 5), np.int64)
    counts[0], counts[1] = [500, 100, 0, 150, 0], [500, 0, 0, 0, 20]
    rows = np.arange(2)
    engine.state.rewards.load(np.full(2, ANN), rows, counts[:2], np.full(2, NOW))
    engine.state.rewards.load_everybody(rows, counts[:2])
    shares = [slate.shares for slate in (await made(engine, (ANN, BOB)))[0]]
    assert shares[0]["visual"] > 3 * shares[0]["boards"]
    assert shares[1] != shares[0] and sum(shares[1].values()) == 100


def test_a_share_of_slates_is_chosen_by_id():
    ids = np.random.default_rng(0).integers(1, 2**62, 20_000).tolist()
    assert all(chosen(slate, 1.0) for slate in ids) and not any(chosen(slate, 0.0) for slate in ids)
    assert sum(chosen(slate, 0.25) for slate in ids) == pytest.approx(5_000, rel=0.1)
