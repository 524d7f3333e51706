"""Who did nothing but chose topics gets pins of them, each topic in turns; the better engaged and the newer first."""

import numpy as np

from operators.annotations.words import word_id
from operators.events import Kind, PinnerEvent
from operators.slate.choices import Choices
from operators.slate.ordering import Ordering
from streams.slates import SlateRequest, build_slates
from streams.topic_pins import pins_of_topics
from tests.streams.slates_world import BOB, EVE, NOW, PINS, act, engine_of

CHOICES = Choices(ordering=Ordering(size=5), source_seconds=5, rank_seconds=5)


def world(home):
    """The first ten pins are chairs, the next ten candles, the others say nothing."""
    engine = engine_of(home)
    said = {int(pin): "chair" if row < 10 else "candle" for row, pin in enumerate(PINS[:20])}
    pins = np.array(list(said), np.int64)
    versions = engine.state.catalogue.versions(pins)
    words = [[word_id("nice"), word_id(word)] for word in said.values()]
    fields = [[0, 0]] * len(pins)
    engine.state.take_words(
        {"pin": pins, "stage": np.ones(len(pins)), "version": versions, "words": words, "fields": fields}
    )
    return engine, pins


async def test_chosen_topics_make_a_personal_slate_before_the_first_action(tmp_path):
    engine, pins = world(tmp_path)
    ask = [SlateRequest(EVE, 77, NOW, NOW)]
    (before,) = await build_slates(engine, ask, CHOICES)
    assert not any("topics" in item.sources for item in before.items)
    chosen = PinnerEvent(
        type="signed_up", pinner=EVE, time=NOW, interests=["Dining chair!", "nothing of this", "candle"]
    )
    engine.state.apply_pinner(chosen)
    found = pins_of_topics(engine, engine.state.chosen.of(EVE).topics, NOW, CHOICES)
    assert set(found.pins[:2].tolist()) & set(pins[:10].tolist()), "a chair"
    assert set(found.pins[:2].tolist()) & set(pins[10:].tolist()), "and a candle"
    (after,) = await build_slates(engine, ask, CHOICES)
    assert "popular" not in after.fallback
    assert any("topics" in item.sources for item in after.items)


def test_within_a_topic_what_is_engaged_with_comes_first(tmp_path):
    engine, pins = world(tmp_path)
    for pin in pins[:10].tolist():
        act(engine, BOB, Kind.IMPRESSION, *[pin] * 3)
    act(engine, BOB, Kind.SAVE, *[int(pins[4])] * 3)
    assert pins_of_topics(engine, ["chair"], NOW, CHOICES).pins[0] == pins[4]
    assert len(pins_of_topics(engine, ["no such thing at all"], NOW, CHOICES)) == 0
