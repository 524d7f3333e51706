import numpy as np
import pytest

from operators.annotations.pin_words import PinWords
from operators.annotations.words import pin_text
from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.events import Kind, PinEvent, Surface
from operators.related.memboost import related_slate
from streams import related_memory
from streams.related import related
from streams.stores.protocols import StoreUnavailable
from tests.streams.slates_world import ANN, BOB, EVE, NOW, act, engine_of, topic


@pytest.fixture
def engine(tmp_path):
    return engine_of(tmp_path)


def ids(found):
    return [each.pin for each in found.pins]


async def test_what_looks_alike_and_what_stands_on_the_same_boards(engine):
    for pinner in (ANN, BOB):
        act(engine, pinner, Kind.SAVE, 100, 190)
    looks = await related(engine, 100, 10, {"visual"})
    assert len(looks.pins) == 10 and {topic(pin) for pin in ids(looks)} == {0} and 190 not in ids(looks)
    together = await related(engine, 100, 10, {"boards"})
    assert ids(together)[0] == 190
    both = await related(engine, 100, 40)
    assert 190 in ids(both) and set(both.pins[0].sources) == {"boards", "visual", "walks"} and both.degraded == []


async def test_never_itself_nor_deleted_pins(engine):
    first = ids(await related(engine, 100, 10))
    engine.state.apply_pins([(9_000, PinEvent(type="deleted", pin=first[0], time=NOW))])
    second = ids(await related(engine, 100, 10))
    assert 100 not in first and first[0] not in second and len(second) == 10


async def test_never_unsafe_pins_though_they_may_be_asked_about(engine):
    first = ids(await related(engine, 100, 10))
    engine.state.safety.take(np.array([100, first[0]]), np.ones(2, np.int64), np.full(2, 0.9, np.float32))
    second = ids(await related(engine, 100, 10))
    assert first[0] not in second and len(second) == 10


async def test_best_first_and_scores_are_those_of_the_sources(engine):
    found = (await related(engine, 100, 15, {"visual"})).pins
    cosines = [each.sources["visual"] for each in found]
    assert cosines == sorted(cosines, reverse=True)
    vectors = (await engine.vectors.fetch("pins", np.array([100, found[0].pin]))).values()
    assert cosines[0] == pytest.approx(float(np.dot(*vectors)), abs=2e-3)


async def test_a_source_that_is_gone_is_named_and_the_other_answers(engine):
    engine.vectors.fails = True
    found = await related(engine, 100, 10)
    assert found.degraded == ["visual"] and len(found.pins) == 10
    with pytest.raises(StoreUnavailable):
        await related(engine, 100, 10, {"visual"})


async def test_a_pin_that_nobody_knows_has_none(engine):
    assert (await related(engine, 5, 10)).pins == []


async def test_an_unknown_source_is_refused(engine):
    with pytest.raises(KeyError, match="astrology"):
        await related(engine, 100, 10, {"astrology"})


def among_related(engine, query: int, kind: Kind, *pins: int, position: int = 0) -> None:
    """Somebody saw these pins, or acted on them, among the related pins of ``query``."""
    n = len(pins)
    columns = {name: np.zeros(n, np.int64) for name in ENGAGEMENT_COLUMNS}
    columns |= {
        "pinner": np.full(n, EVE),
        "pin": np.array(pins),
        "time": np.full(n, NOW - 500),
        "logged": np.full(n, NOW),
    }
    columns |= {"kind": np.full(n, kind, np.uint8), "position": np.full(n, position, np.int16)}
    columns |= {"surface": np.full(n, Surface.RELATED, np.uint8), "is_follower": np.zeros(n, np.uint8)}
    columns |= {"slate": np.full(n, related_slate(query)), "event_id": np.arange(1, n + 1)}
    engine.state.apply(Engagement(source=Source("clicks", 0, 0, n), **columns))


async def test_what_is_clicked_more_than_expected_rises_and_comes_in(engine):
    answer = await related(engine, 100, 10, {"visual"})
    last = answer.pins[-1].pin
    far = 215  # of another topic: no source finds it
    assert answer.slate == related_slate(100) and {each.boost for each in answer.pins} == {0.0}
    seen = [each.pin for each in answer.pins] + [far]
    for _ in range(40):
        among_related(engine, 100, Kind.IMPRESSION, *seen)
    for _ in range(30):
        among_related(engine, 100, Kind.SAVE, last, far)
    boosted = (await related(engine, 100, 10, {"visual"})).pins
    assert {boosted[0].pin, boosted[1].pin} == {last, far} and boosted[0].boost > 0.5
    assert next(each for each in boosted if each.pin == far).sources == {}
    assert all(each.boost <= 0 for each in boosted[2:])
    # Neither another pin's answers nor a slate of something else are touched by it.
    assert {each.boost for each in (await related(engine, 101, 10, {"visual"})).pins} == {0.0}
    among_related(engine, 999_999, Kind.SAVE, far)
    assert not engine.state.memboost.best(999_999, 5).pins.size
    engine.state.apply_pins([(9_000, PinEvent(type="deleted", pin=far, time=NOW))])
    assert far not in ids(await related(engine, 100, 10, {"visual"}))


async def test_what_is_acted_on_together_and_what_says_the_same(engine):
    for pinner in range(300, 360):
        act(engine, pinner, Kind.SAVE, 100, 190, 191, time=NOW + pinner)
    assert (await related(engine, 100, 5, {"pin2vec"})).pins == [], "nothing is learned before its time"
    assert await related_memory.learn(engine.state, NOW + 10**9) == 180
    assert set(ids(await related(engine, 100, 5, {"pin2vec"}))) == {190, 191}
    engine.state.texts.load(words_of({100: "oak dining table", 160: "dining table of oak", 170: "red shoes"}))
    said = await related(engine, 100, 5, {"words"})
    assert ids(said) == [160] and said.pins[0].sources["words"] > 0


def words_of(titles: dict[int, str]) -> PinWords:
    texts = [pin_text(title) for title in titles.values()]
    ends = np.cumsum([len(text.ids) for text in texts])
    return PinWords(
        np.array(list(titles)), ends, np.concatenate([text.ids for text in texts]), np.zeros(ends[-1], np.uint8)
    )
