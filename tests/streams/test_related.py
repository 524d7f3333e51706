import numpy as np
import pytest

from operators.events import Kind, PinEvent
from streams.related import related
from streams.stores.protocols import StoreUnavailable
from tests.streams.slates_world import ANN, BOB, NOW, act, engine_of, topic


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
