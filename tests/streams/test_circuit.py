"""The circuit breaker, by a clock that the test turns; and as a state machine under random histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.circuit import Circuit, Resting, State
from streams.stores.protocols import StoreUnavailable


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ask(circuit: Circuit, *, fails: bool = False) -> None:
    with circuit.call():
        if fails:
            raise StoreUnavailable("milvus", "gone")


def fail(circuit: Circuit) -> None:
    with pytest.raises(StoreUnavailable):
        ask(circuit, fails=True)


def test_a_failure_spares_calls_until_the_rest_is_over(clock: Clock) -> None:
    circuit = Circuit("milvus", rest=1.0, clock=clock)
    fail(circuit)
    for _ in range(3):
        with pytest.raises(Resting):
            ask(circuit)
    assert (circuit.state, circuit.opened, circuit.spared) == (State.OPEN, 1, 3)
    clock.now += 1.0
    ask(circuit)
    assert circuit.state is State.CLOSED


def test_several_failures_in_a_row_where_asked_for(clock: Clock) -> None:
    circuit = Circuit("milvus", failures=3, clock=clock)
    fail(circuit), fail(circuit), ask(circuit), fail(circuit), fail(circuit)
    assert circuit.state is State.CLOSED
    fail(circuit)
    assert circuit.state is State.OPEN


def test_one_probe_at_a_time(clock: Clock) -> None:
    circuit = Circuit("milvus", rest=1.0, clock=clock)
    fail(circuit)
    clock.now += 1.0
    with circuit.call():
        assert circuit.state is State.HALF_OPEN
        with pytest.raises(Resting):
            ask(circuit)
    assert circuit.state is State.CLOSED


def test_rests_double_up_to_the_longest_and_start_anew_after_a_success(clock: Clock) -> None:
    circuit = Circuit("milvus", rest=1.0, longest=5.0, clock=clock)
    rests: list[float] = []
    for _ in range(4):
        fail(circuit)
        rests.append(circuit.rests)
        clock.now += circuit.rests
    assert rests == [1.0, 2.0, 4.0, 5.0]
    ask(circuit)
    fail(circuit)
    assert circuit.rests == 1.0


def test_a_call_that_took_too_long_opens_it_and_its_late_end_does_not_close_it(clock: Clock) -> None:
    circuit = Circuit("milvus", failures=3, rest=1.0, clock=clock)
    with circuit.call():
        circuit.too_slow()
        assert circuit.state is State.OPEN
    assert circuit.state is State.OPEN
    clock.now += 1.0
    with circuit.call():
        circuit.too_slow()
    assert (circuit.state, circuit.rests, circuit.opened) == (State.OPEN, 2.0, 2)


def test_other_calls_that_were_under_way_at_the_verdict_do_not_lengthen_the_rest(clock: Clock) -> None:
    circuit = Circuit("milvus", rest=1.0, clock=clock)
    with pytest.raises(StoreUnavailable), circuit.call():
        fail(circuit)
        raise StoreUnavailable("milvus", "gone too")
    assert (circuit.opened, circuit.rests) == (1, 1.0)


def test_a_bug_or_a_cancelled_call_is_no_verdict(clock: Clock) -> None:
    circuit = Circuit("milvus", rest=1.0, clock=clock)
    with pytest.raises(ZeroDivisionError), circuit.call():
        raise ZeroDivisionError
    assert circuit.state is State.CLOSED
    fail(circuit)
    clock.now += 1.0
    with pytest.raises(ZeroDivisionError), circuit.call():
        raise ZeroDivisionError
    ask(circuit)  # the probe that told nothing holds up nobody
    assert circuit.state is State.CLOSED


def test_whoever_listens_hears_every_change(clock: Clock) -> None:
    circuit = Circuit("milvus", rest=1.0, clock=clock)
    heard: list[State] = []
    circuit.on_change = lambda changed: heard.append(changed.state)
    fail(circuit)
    clock.now += 1.0
    ask(circuit)
    assert heard == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_wrong_numbers_are_refused() -> None:
    for wrong in ({"failures": 0}, {"rest": 0.0}, {"rest": 3.0, "longest": 2.0}):
        with pytest.raises(ValueError, match="failures"):
            Circuit("milvus", **wrong)


@given(st.lists(st.sampled_from(["succeed", "fail", "slow", "wait"]), max_size=60), st.integers(1, 3))
def test_it_never_asks_a_resting_part_and_never_shuts_it_out_for_ever(history: list[str], failures: int) -> None:
    clock = Clock()
    circuit = Circuit("milvus", failures=failures, rest=1.0, longest=4.0, clock=clock)
    for step in history:
        resting = circuit.rests > 0
        if step == "wait":
            clock.now += 0.7
            continue
        try:
            with circuit.call():
                assert not resting
                if step == "slow":
                    circuit.too_slow()
                elif step == "fail":
                    raise StoreUnavailable("milvus", "gone")
        except Resting:
            assert resting
        except StoreUnavailable:
            assert step == "fail"
        assert 0 <= circuit.rests <= 4.0
    clock.now += 4.0
    ask(circuit)
    assert circuit.state is State.CLOSED
