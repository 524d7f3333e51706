"""Slates: what every stage promises, and what happens without Milvus, without Triton, without either."""

import asyncio
import time

import numpy as np
import pytest

from operators.events import Kind, PinEvent, PinnerEvent
from operators.linchpin.columns import Float
from operators.linchpin.transform import REGISTRY, transform
from operators.pin2vec.pin2vec import LAG_MS
from operators.slate.candidates import SOURCES
from operators.slate.choices import Choices
from operators.slate.explain import explain
from operators.slate.ordering import Ordering
from operators.slate.record import Record
from operators.slate.slate import decode, features_of
from operators.slate.utility import Weights
from streams import related_memory
from streams.slate_spec import SHIPPED, refused, shipped
from streams.slates import SlateRequest, build_slates, encode_slate, slate_rows
from streams.state import HotState
from tests.streams.slates_world import ANN, BOB, CHOICES, EVE, NOW, PINS, act, engine_of, topic


@pytest.fixture
def engine(tmp_path):
    return engine_of(tmp_path)


async def slate_of(engine, pinner=ANN, choices=CHOICES, event=77):
    (slate,) = await build_slates(engine, [SlateRequest(pinner, event, NOW, NOW)], choices)
    return slate


def pins_of(slate):
    return [item.pin for item in slate.items]


async def test_a_save_turns_the_next_slate_to_its_topic(engine):
    before = await slate_of(engine)
    act(engine, ANN, Kind.SAVE, 100, 101)
    after = await slate_of(engine)
    share = [sum(topic(pin) == 0 for pin in pins_of(slate)) / len(slate.items) for slate in (before, after)]
    assert share[0] < 0.7 and share[1] >= 0.9
    assert {"visual", "boards"} <= {name for item in after.items for name in item.sources}
    assert after.degraded == [] and after.fallback == [] and after.models == {"ranker": "7", "spec": shipped().version}
    assert after.items[0].probabilities.save > 0.9


async def test_a_slate_keeps_what_the_ranker_saw_of_its_places(engine):
    act(engine, ANN, Kind.SAVE, 100, 101)
    slate = decode(encode_slate(await slate_of(engine)))
    seen = features_of(slate)
    assert seen.shape == (len(slate.items), len(shipped().names))
    again = (await engine.models.rank(seen)).probabilities
    served = [[item.probabilities.save, item.probabilities.hide] for item in slate.items]
    assert np.array_equal(again[:, [0, 3]], np.array(served, np.float32))
    assert np.array_equal(np.array(slate_rows([slate])["features"][0], np.float32), seen)
    engine.models.fails = True
    without = await slate_of(engine)
    assert without.features == b"" and slate_rows([without])["features"] == [[]]


async def test_a_slate_says_how_old_its_trigger_is(engine):
    logged = int(time.time() * 1000) - 700
    (slate,) = await build_slates(engine, [SlateRequest(ANN, 77, logged, NOW)], CHOICES)
    assert slate.freshness_ms == slate.emitted - logged and 700 <= slate.freshness_ms < 60_000
    assert decode(encode_slate(slate)).freshness_ms == slate.freshness_ms


async def test_seen_saved_hidden_own_and_deleted_pins_never_come(engine):
    act(engine, ANN, Kind.SAVE, 100, 101)
    act(engine, ANN, Kind.IMPRESSION, 102, 103)
    act(engine, ANN, Kind.HIDE, 104)
    engine.state.apply_pins([(999, PinEvent(type="deleted", pin=105, time=NOW))])
    engine.state.apply_pins([(1000, PinEvent(type="updated", pin=106, pinner=ANN, time=NOW))])
    slate = await slate_of(engine, choices=Choices(ordering=Ordering(size=25), source_seconds=5, rank_seconds=5))
    assert not set(pins_of(slate)) & set(range(100, 107))
    assert slate.dropped["seen"] == 2 and slate.dropped_pins["hidden"] == [104] and slate.dropped["own"] == 1


async def test_several_pinners_cost_one_search_and_one_call_and_get_what_they_would_get_alone(engine):
    act(engine, ANN, Kind.SAVE, 100, 101)
    act(engine, BOB, Kind.SAVE, 135, 136)
    requests = [SlateRequest(pinner, 77, NOW, NOW) for pinner in (ANN, BOB, EVE)]
    together = await build_slates(engine, requests, CHOICES)
    assert (engine.vectors.searches, engine.models.calls) == (1, 1)
    for slate in together:
        assert pins_of(slate) == pins_of(await slate_of(engine, slate.pinner))


async def test_slates_of_different_moments_are_not_made_together(engine):
    with pytest.raises(ValueError, match="one moment"):
        await build_slates(engine, [SlateRequest(ANN, 77, NOW, NOW), SlateRequest(BOB, 78, NOW, NOW + 1)], CHOICES)


async def test_the_same_request_gives_the_same_slate(engine):
    first, second = await slate_of(engine), await slate_of(engine)
    assert first.items == second.items and first.slate == second.slate and first.seed == second.seed
    assert (await slate_of(engine, event=78)).slate != first.slate


async def test_a_new_pinner_gets_a_popular_slate_that_says_so(engine):
    act(engine, BOB, Kind.SAVE, 140)
    slate = await slate_of(engine, EVE)
    assert len(slate.items) == 10 and slate.fallback == ["popular"]


async def test_pins_of_followed_pinners_come(engine):
    engine.state.apply_pinner(PinnerEvent(type="followed", pinner=ANN, pinners=[53], time=NOW))
    slate = await slate_of(engine)
    assert any("followed" in item.sources for item in slate.items) and slate.fallback == []


async def test_who_has_seen_everything_gets_repeats_last(engine):
    act(engine, ANN, Kind.IMPRESSION, *PINS[:-3].tolist())
    slate = await slate_of(engine)
    assert len(slate.items) == 10 and set(pins_of(slate)[:3]) == set(PINS[-3:].tolist())
    assert "repeats" in slate.fallback


async def test_hidden_pins_do_not_even_come_as_repeats(engine):
    act(engine, ANN, Kind.IMPRESSION, *PINS.tolist())
    act(engine, ANN, Kind.HIDE, *PINS[:-4].tolist())
    assert set(pins_of(await slate_of(engine))) == set(PINS[-4:].tolist())


async def test_no_pins_at_all_is_an_empty_slate(engine):
    engine.state = HotState()
    slate = await slate_of(engine)
    assert slate.items == [] and decode(encode_slate(slate)) == slate
    assert await build_slates(engine, []) == []


async def test_without_the_ranker_the_slate_still_knows_the_pinner(engine):
    act(engine, ANN, Kind.SAVE, 100)
    for pin in (107, 108):
        act(engine, BOB, Kind.IMPRESSION, pin), act(engine, BOB, Kind.SAVE, pin)
    engine.models.fails = True
    slate = await slate_of(engine)
    assert slate.degraded == ["ranker"] and len(slate.items) == 10
    assert slate.items[0].probabilities is None and slate.models == {}
    assert all(topic(item.pin) == 0 for item in slate.items), "what looks like the save, or stands on its board"
    assert slate.items[0].pin in (107, 108), "the good ones of these first"


async def test_without_milvus_the_other_sources_carry_it(engine):
    act(engine, ANN, Kind.SAVE, 100)
    engine.vectors.fails = True
    slate = await slate_of(engine)
    assert slate.degraded == ["vectors"] and len(slate.items) == 10
    assert "boards" in {name for item in slate.items for name in item.sources}


async def test_milvus_gone_with_seed_vectors_in_memory_names_the_source(engine):
    act(engine, ANN, Kind.SAVE, 100)
    await engine.vector_cache.load(PINS)
    engine.vectors.fails = True
    assert (await slate_of(engine)).degraded == ["source.visual", "source.interests"]


async def test_without_milvus_and_ranker_there_is_still_a_slate(engine):
    act(engine, ANN, Kind.SAVE, 100)
    engine.vectors.fails = engine.models.fails = True
    slate = await slate_of(engine)
    assert set(slate.degraded) == {"vectors", "ranker"} and len(slate.items) == 10


async def test_a_slow_ranker_is_left_out_in_time(engine):
    engine.models.waits = 30
    began = asyncio.get_running_loop().time()
    slate = await slate_of(engine, choices=Choices(ordering=Ordering(size=10), rank_seconds=0.05))
    assert "ranker" in slate.degraded and asyncio.get_running_loop().time() - began < 10


async def test_a_source_with_a_bug_is_named_and_the_rest_goes_on(engine, monkeypatch):
    monkeypatch.setattr(engine.state.trending, "top", lambda *_: 1 / 0)
    slate = await slate_of(engine)
    assert slate.degraded == ["source.trending"] and len(slate.items) == 10


async def test_a_pin_deleted_while_the_ranker_is_asked_does_not_go_out(engine):
    act(engine, ANN, Kind.SAVE, 100)
    gone = (await slate_of(engine)).items[0].pin
    engine.models.waits = 0.2
    building = asyncio.ensure_future(slate_of(engine))
    while not engine.models.calls > 1:
        await asyncio.sleep(0)
    engine.state.apply_pins([(9_999, PinEvent(type="deleted", pin=gone, time=NOW))])
    slate = await building
    assert gone not in pins_of(slate) and len(slate.items) == 10 and slate.degraded == []


async def test_unsafe_pins_never_come_and_the_slate_says_why(engine):
    act(engine, ANN, Kind.SAVE, 100)
    bad = np.array(pins_of(await slate_of(engine))[:3])
    engine.state.safety.take(bad, np.ones(3, np.int64), np.array([0.81, 0.95, 0.79], np.float32))
    slate = await slate_of(engine)
    assert set(bad[:2].tolist()).isdisjoint(pins_of(slate)) and len(slate.items) == 10
    assert slate.dropped["unsafe"] == 2 and set(slate.dropped_pins["unsafe"]) == set(bad[:2].tolist())
    assert explain(slate, int(bad[0])) == "Not in the slate: its picture is likely not safe for work (filter unsafe)."
    act(engine, ANN, Kind.IMPRESSION, *PINS.tolist())
    assert set(bad[:2].tolist()).isdisjoint(pins_of(await slate_of(engine))), "not even as repeats"
    engine.settings.unsafe_above = 1.0
    assert "unsafe" not in (await slate_of(engine)).dropped


async def test_a_pin_judged_while_the_ranker_is_asked_does_not_go_out(engine):
    first = pins_of(await slate_of(engine))[0]
    ranked = engine.models.rank

    async def meanwhile(features):
        engine.state.safety.take(np.array([first]), np.ones(1, np.int64), np.ones(1, np.float32))
        return await ranked(features)

    engine.models.rank = meanwhile
    assert first not in pins_of(await slate_of(engine))


async def test_stages_account_for_every_candidate(engine):
    act(engine, ANN, Kind.SAVE, 100)
    slate = await slate_of(engine)
    stages = {stage.name: stage for stage in slate.stages}
    assert list(stages) == ["seeds", "sources", "filters", "features", "ranker", "ordering"]
    assert stages["ordering"].went_out == len(slate.items)
    assert stages["filters"].went_out == stages["ranker"].came_in == engine.models.rows
    assert all(stage.milliseconds >= 0 for stage in slate.stages)
    assert b'pinstream_stage_items_total{direction="out",stage="ordering"} 10.0' in engine.metrics.exposition()


async def test_a_changed_spec_makes_the_next_slate_and_a_broken_one_changes_nothing(engine, tmp_path):
    act(engine, ANN, Kind.SAVE, 100)
    engine.settings.spec = tmp_path / "own.linchpin"
    text = SHIPPED.read_text()
    engine.settings.spec.write_text(text)
    before = await slate_of(engine)
    engine.settings.spec.write_text(text.replace("weights=[1.0,", "weights=[2.0,"))
    after = await slate_of(engine)
    score = {item.pin: item.score for item in before.items}
    both = [item for item in after.items if item.pin in score]
    assert both and all(item.score - score[item.pin] == pytest.approx(item.probabilities.save) for item in both)
    assert before.models["spec"] == shipped().version != after.models["spec"]
    engine.settings.spec.write_text(text.replace("Concat", "Conkat"))
    assert (await slate_of(engine)).items == after.items
    assert "did you mean Concat?" in refused(engine.settings)


async def test_a_transform_that_fails_leaves_the_order_without_a_ranker(engine, tmp_path):
    @transform(missing="kept")
    def fails_in_tests(x: Float) -> Float:
        """Fails where something is known."""
        if np.isfinite(x).any():
            raise ValueError("no such number")
        return x

    try:
        engine.settings.spec = tmp_path / "own.linchpin"
        for broken, after in (
            ("from_fresh <- Copy(", "from_fresh <- FailsInTests("),
            ("utility <- ", "utility <- FailsInTests(worth)\nworth <- "),
        ):
            engine.settings.spec.write_text(SHIPPED.read_text().replace(broken, after))
            act(engine, ANN, Kind.SAVE, 100)
            slate = await slate_of(engine)
            assert slate.degraded == ["spec"] and slate.models == {} and slate.items[0].probabilities is None
            assert len(slate.items) == 10
    finally:
        del REGISTRY["FailsInTests"]


async def test_weights_in_the_file_change_the_next_slate_without_a_restart(engine):
    act(engine, ANN, Kind.SAVE, 100)
    first = await build_slates(engine, [SlateRequest(ANN, 77, NOW, NOW)])
    (engine.settings.home / "slates.toml").write_text("[ordering]\nsize = 3\n[weights]\nsave = -1.0\n")
    second = await build_slates(engine, [SlateRequest(ANN, 77, NOW, NOW)])
    assert len(first[0].items) == 25 and len(second[0].items) == 3
    assert not set(pins_of(first[0])[:3]) & set(pins_of(second[0]))


async def test_a_file_with_a_wrong_name_is_not_used(engine, caplog):
    (engine.settings.home / "slates.toml").write_text("[weights]\nsafe = 1.0\n")
    (slate,) = await build_slates(engine, [SlateRequest(ANN, 77, NOW, NOW)])
    assert len(slate.items) == 25 and "safe" in caplog.text


async def test_utility_is_the_weighted_sum(engine):
    choices = Choices(weights=Weights(save=2, closeup=0, outbound_click=0, hide=-1), rank_seconds=5)
    for item in (await slate_of(engine, choices=choices)).items:
        assert item.score == pytest.approx(2 * item.probabilities.save - item.probabilities.hide, abs=1e-6)


async def test_rows_have_one_entry_a_place(engine):
    act(engine, ANN, Kind.SAVE, 100)
    rows = slate_rows(await build_slates(engine, [SlateRequest(ANN, 77, NOW, NOW), SlateRequest(BOB, 78, NOW, NOW)]))
    for name in ("positions", "pins", "sources", "scores", "probabilities"):
        assert [len(row) for row in rows[name]] == [25, 25], name
    assert all(len(place) == 4 for row in rows["probabilities"] for place in row)


async def test_who_waits_in_a_crowd_gets_a_slate_of_fewer_candidates(engine):
    request = SlateRequest(1, 99, NOW, NOW)
    choices = Choices(candidates=30, busy_candidates=12, ordering=Ordering(size=10))
    records: list[Record] = []
    (at_leisure,), (busy,) = [
        await build_slates(engine, [request], choices, busy=each, records=records) for each in (False, True)
    ]
    assert at_leisure.degraded == [] and busy.degraded == ["candidates"]
    assert busy.stages[2].went_out <= 12 < at_leisure.stages[2].went_out
    asked = [set(record.header.found) for record in records]
    assert asked == [set(SOURCES), set(SOURCES) - set(choices.busy_without)]
    assert len(busy.items) == 10


async def test_what_others_did_next_and_chosen_topics_are_sources(engine):
    for pinner in range(300, 330):
        act(engine, pinner, Kind.CLOSEUP, 100, time=NOW - 9000)
        act(engine, pinner, Kind.SAVE, 135, time=NOW - 8000)
    await related_memory.learn(engine.state, NOW + LAG_MS)
    act(engine, ANN, Kind.CLOSEUP, 100)
    assert not len(engine.state.next_actions.next(np.array([135]), 1.0, 3).items)
    assert engine.state.next_actions.next(np.array([100]), 1.0, 3).items[0] == 135
    slate = await slate_of(engine, choices=Choices(ordering=Ordering(size=100), source_seconds=5, rank_seconds=5))
    assert "next" in {name for item in slate.items if item.pin == 135 for name in item.sources}
    engine.state.apply_pinner(PinnerEvent(type="interests", pinner=EVE, time=NOW, interests=["sofas", " "]))
    assert engine.state.chosen.of(EVE).topics == ("sofas",)
    engine.state.apply_pinner(PinnerEvent(type="interests", pinner=EVE, time=NOW - 1, interests=["lamps"]))
    assert engine.state.chosen.of(EVE).topics == ("sofas",), "of an earlier time"
    engine.state.erase(EVE)
    assert engine.state.chosen.of(EVE).topics == ()


async def test_interests_are_kept_until_the_next_action(engine):
    act(engine, ANN, Kind.SAVE, 100, 135)
    await slate_of(engine)
    cache = engine.vector_cache.interests
    before = cache.of(engine, ANN, NOW)
    assert cache.of(engine, ANN, NOW) is before and set(before.pins.tolist()) == {100, 135}
    act(engine, ANN, Kind.CLOSEUP, 165, time=NOW)
    await slate_of(engine)
    after = cache.of(engine, ANN, NOW)
    assert after is not before and 165 in after.actions
