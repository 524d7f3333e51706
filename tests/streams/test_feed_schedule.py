import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.feed_schedule import FeedSchedule

steps = st.lists(st.tuples(st.integers(1, 8), st.floats(0, 0.3)), max_size=60)


def test_a_single_trigger_is_due_after_the_quiet_time():
    schedule = FeedSchedule()
    schedule.due(1, 100, 5, at=10.0)
    assert schedule.next_at() == pytest.approx(10.05)
    assert schedule.take(10.049) == []
    assert [(due.pinner, due.event_id, due.logged) for due in schedule.take(10.051)] == [(1, 100, 5)]
    assert len(schedule) == 0 and schedule.next_at() is None


def test_a_busy_pinner_is_due_at_most_200_ms_after_the_first_and_the_latest_trigger_names_the_slate():
    schedule = FeedSchedule()
    at, taken = 0.0, []
    while not taken:
        schedule.due(1, round(at * 1000), 0, at)
        taken = schedule.take(at)
        at += 0.01
    assert 0.199 <= taken[0].latest <= 0.211
    assert taken[0].event_id == round(taken[0].latest * 1000)


def test_under_overload_most_of_a_batch_acted_last_and_a_share_waited_longest():
    schedule = FeedSchedule(batch=8, oldest_share=2)
    for pinner in range(100):
        schedule.due(pinner, pinner, 0, at=pinner / 100)
    assert [due.pinner for due in schedule.take(10.0)] == [0, 1, 99, 98, 97, 96, 95, 94]


def test_a_ready_pinner_who_acts_again_becomes_the_newest():
    schedule = FeedSchedule(batch=2, oldest_share=1)
    for pinner in range(10):
        schedule.due(pinner, pinner, 0, at=0.0)
    assert len(schedule.take(1.0)) == 2
    schedule.due(5, 50, 0, at=1.5)
    assert [(due.pinner, due.event_id) for due in schedule.take(1.5)][1] == (5, 50)


def test_an_erased_pinner_is_forgotten():
    schedule = FeedSchedule()
    schedule.due(1, 1, 0, 0.0), schedule.due(2, 2, 0, 0.0)
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
        schedule.due(pinner, event, 0, at)
        latest[pinner] = (event, at)
        assert len(schedule) == len(latest)
        if event % 3 == 0:
            take(at)
    while (next_at := schedule.next_at()) is not None:
        at = max(at, next_at)
        take(at)
    assert latest == {} and len(schedule) == 0


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 200), st.integers(1, 40))
def test_a_pinner_is_taken_within_a_bounded_number_of_batches_however_many_newer_ones_come(share, ahead, newer):
    schedule = FeedSchedule(batch=8, oldest_share=share)
    for pinner in range(ahead):
        schedule.due(pinner, 0, 0, at=0.0)
    schedule.due(10_000, 0, 0, at=0.1)
    fresh = 20_000
    for batch in range(ahead // share + 1):
        now = 1.0 + batch
        for _ in range(newer):
            schedule.due(fresh, 0, 0, at=now - 0.5)
            fresh += 1
        if any(due.pinner == 10_000 for due in schedule.take(now)):
            return
    raise AssertionError("starved")


def test_memory_is_one_entry_a_pinner_however_often_they_act():
    schedule = FeedSchedule()
    schedule.due(1, 0, 0, 0.0)
    schedule._settle(1.0)
    for event in range(10_000):
        schedule.due(1, event, 0, 1.0 + event / 1000)
    assert len(schedule._newest) < 200 and len(schedule.take(20.0)) == 1


@pytest.mark.parametrize("wrong", [{"quiet": 1.0}, {"quiet": -1.0}, {"oldest_share": 0}, {"oldest_share": 17}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError):
        FeedSchedule(**wrong)


def test_an_older_trigger_changes_nothing_and_lost_partitions_take_theirs_along():
    schedule = FeedSchedule()
    mine, lost = ("saves", 0), ("clicks", 3)
    schedule.due(1, 10, logged=500, at=0.0, source=mine)
    schedule.due(1, 9, logged=400, at=0.01, source=lost)
    schedule.due(2, 20, logged=500, at=0.0, source=lost)
    schedule.give_up({lost})
    assert [(due.pinner, due.event_id, due.source) for due in schedule.take(1.0)] == [(1, 10, mine)]
    assert len(schedule) == 0
