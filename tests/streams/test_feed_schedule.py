import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.feed_schedule import FeedSchedule


def act(schedule, pinner, event_id, logged, at, source=("", 0)):
    schedule.due(np.array([pinner]), np.array([event_id]), np.array([logged]), at, source)


steps = st.lists(st.tuples(st.integers(1, 8), st.floats(0, 0.3)), max_size=60)


def test_a_single_trigger_is_due_after_the_quiet_time():
    schedule = FeedSchedule()
    act(schedule, 1, 100, 5, at=10.0)
    assert schedule.take(10.049) == []
    assert [(due.pinner, due.event_id, due.logged) for due in schedule.take(10.051)] == [(1, 100, 5)]
    assert len(schedule) == 0


def test_a_busy_pinner_is_due_at_most_200_ms_after_the_first_and_the_latest_trigger_names_the_slate():
    schedule = FeedSchedule()
    at, taken = 0.0, []
    while not taken:
        act(schedule, 1, round(at * 1000), 0, at)
        taken = schedule.take(at)
        at += 0.01
    assert 0.199 <= taken[0].latest <= 0.211
    assert taken[0].event_id == round(taken[0].latest * 1000)


def test_under_overload_most_of_a_batch_acted_last_and_a_share_waited_longest():
    schedule = FeedSchedule(batch=8, oldest_share=2)
    for pinner in range(100):
        act(schedule, pinner, pinner, 0, at=pinner / 100)
    assert [due.pinner for due in schedule.take(10.0)] == [0, 1, 99, 98, 97, 96, 95, 94]


def test_in_a_crowd_of_a_moment_whoever_waited_longest_comes_first():
    schedule = FeedSchedule(batch=8, oldest_share=2)
    for pinner in range(20):
        act(schedule, pinner, pinner, 0, at=pinner / 100)
    assert [due.pinner for due in schedule.take(0.9)] == list(range(8))


def test_a_ready_pinner_who_acts_again_becomes_the_newest():
    schedule = FeedSchedule(batch=2, oldest_share=1)
    for pinner in range(10):
        act(schedule, pinner, pinner, 0, at=0.0)
    assert len(schedule.take(1.0)) == 2
    act(schedule, 5, 50, 0, at=1.5)
    assert [(due.pinner, due.event_id) for due in schedule.take(1.5)][1] == (5, 50)


def test_an_erased_pinner_is_forgotten():
    schedule = FeedSchedule()
    act(schedule, 1, 1, 0, 0.0), act(schedule, 2, 2, 0, 0.0)
    schedule.drop(1)
    assert [due.pinner for due in schedule.take(1.0)] == [2]


@given(steps)
def test_nobody_is_lost_nobody_waits_twice_and_nobody_is_early(triggers):
    schedule = FeedSchedule(batch=3, oldest_share=1)
    at, event = 0.0, 0
    latest: dict[int, tuple[int, float]] = {}

    def take(now):
        for due in schedule.take(now):
            event_id, when = latest.pop(due.pinner)  # KeyError: taken twice, or never due
            assert due.event_id == event_id and due.latest == when
            assert now >= min(due.latest + schedule.quiet, due.first + schedule.longest)

    for pinner, pause in triggers:
        at, event = at + pause, event + 1
        act(schedule, pinner, event, 0, at)
        latest[pinner] = (event, at)
        assert len(schedule) == len(latest)
        if event % 3 == 0:
            take(at)
    while len(schedule):
        at += 0.05
        take(at)
    assert latest == {} and len(schedule) == 0


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 200), st.integers(1, 40))
def test_a_pinner_is_taken_within_a_bounded_number_of_batches_however_many_newer_ones_come(share, ahead, newer):
    schedule = FeedSchedule(batch=8, oldest_share=share)
    schedule.due(np.arange(ahead), np.zeros(ahead, int), np.zeros(ahead, int), 0.0)
    act(schedule, 10_000, 0, 0, at=0.1)
    fresh = 20_000
    for batch in range(ahead // share + 1):
        now = 1.0 + batch
        schedule.due(np.arange(fresh, fresh + newer), np.zeros(newer, int), np.zeros(newer, int), now - 0.5)
        fresh += newer
        if any(due.pinner == 10_000 for due in schedule.take(now)):
            return
    raise AssertionError("starved")


def test_memory_is_a_few_rows_a_waiting_pinner_however_many_have_waited():
    schedule = FeedSchedule(batch=1000, oldest_share=1)
    for moment in range(100):
        pinners = 1000 * moment + np.arange(1000)
        schedule.due(np.repeat(pinners, 3), np.arange(3000), np.arange(3000), float(moment))
        taken = schedule.take(moment + 0.9)
        assert sorted(due.pinner for due in taken) == pinners.tolist()
        assert [due.event_id for due in taken] == [due.logged for due in taken] and taken[0].event_id % 3 == 2
    assert len(schedule._whats) < 20_000


def test_a_whole_batch_of_triggers_is_as_one_after_the_other():
    together, alone = FeedSchedule(), FeedSchedule()
    pinners, events, logged = np.array([1, 2, 1, 3, 2]), np.arange(5), np.array([10, 20, 30, 30, 10])
    together.due(pinners, events, logged, 1.0, ("saves", 2))
    for row in zip(pinners, events, logged, strict=True):
        act(alone, *row, 1.0, ("saves", 2))
    expected = [(1, 2, 30), (2, 1, 20), (3, 3, 30)]
    for schedule in (together, alone):
        assert sorted(due[:3] for due in schedule.take(2.0)) == expected


@pytest.mark.parametrize("wrong", [{"quiet": 1.0}, {"quiet": -1.0}, {"oldest_share": 0}, {"oldest_share": 17}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError):
        FeedSchedule(**wrong)


def test_an_older_trigger_changes_nothing_and_lost_partitions_take_theirs_along():
    schedule = FeedSchedule()
    mine, lost = ("saves", 0), ("clicks", 3)
    act(schedule, 1, 10, logged=500, at=0.0, source=mine)
    act(schedule, 1, 9, logged=400, at=0.01, source=lost)
    act(schedule, 2, 20, logged=500, at=0.0, source=lost)
    schedule.give_up({lost})
    assert [(due.pinner, due.event_id, due.source) for due in schedule.take(1.0)] == [(1, 10, mine)]
    assert len(schedule) == 0
