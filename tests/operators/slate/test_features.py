from dataclasses import fields

import numpy as np
import pytest

from operators.slate.candidates import SOURCES
from operators.slate.features import DAY_MS, HOUR_MS, NAMES, Signals, features


def signals(**given) -> Signals:
    n = len(next(iter(given.values()))) if given else 1
    columns = {field.name: np.full(n, np.nan, np.float32) for field in fields(Signals)}
    columns |= {"now": np.zeros(n, np.int64), "scores": np.full((n, len(SOURCES)), np.nan, np.float32)}
    return Signals(**(columns | {name: np.asarray(value) for name, value in given.items()}))


def column(name: str, table: np.ndarray) -> list[float]:
    return table[:, NAMES.index(name)].tolist()


def test_one_column_a_name_and_no_name_twice():
    table = features(signals(quality=[1.0, 2.0]))
    assert table.shape == (2, len(NAMES)) and table.dtype == np.float32
    assert len(set(NAMES)) == len(NAMES)


def test_unknown_is_zero_with_a_flag_beside_it():
    table = features(signals(relevance=[0.5, np.nan], domain_quality=[np.nan, 2.0]))
    assert np.isfinite(table).all()
    assert column("relevance", table) == [0.5, 0] and column("no_relevance", table) == [0, 1]
    assert column("domain_quality", table) == [0, 2] and column("no_domain_quality", table) == [1, 0]


def test_ages_are_logged_hours_and_counts_are_logged():
    table = features(signals(age=[0.0, 3.0 * HOUR_MS], exposure=[0.0, np.e - 1], activity=[1.0, 1.0]))
    assert column("log_age", table) == pytest.approx([0, np.log(4)])
    assert column("log_exposure", table) == pytest.approx([0, 1])


def test_the_hour_turns_once_a_day_and_midnight_is_next_to_eleven():
    hours = np.array([0, 6, 12, 24, 23]) * HOUR_MS
    table = features(signals(now=hours, quality=np.ones(5)))
    assert column("hour_sin", table)[:3] == pytest.approx([0, 1, 0], abs=1e-6)
    clock = table[:, [NAMES.index("hour_sin"), NAMES.index("hour_cos")]]
    assert np.allclose(clock[0], clock[3]) and DAY_MS == 24 * HOUR_MS
    assert np.linalg.norm(clock[4] - clock[0]) < 0.3


def test_each_source_has_its_column_and_they_are_counted():
    scores = np.full((2, len(SOURCES)), np.nan, np.float32)
    scores[0, SOURCES.index("visual")] = 0.75
    scores[0, SOURCES.index("boards")] = np.e - 1
    table = features(signals(scores=scores))
    assert column("from_visual", table) == [0.75, 0] and column("from_boards", table) == pytest.approx([1, 0])
    assert column("sources", table) == [2, 0]


def test_rows_do_not_depend_on_each_other():
    random = np.random.default_rng(0)
    both = signals(
        **{f.name: random.normal(size=6).astype(np.float32) for f in fields(Signals) if f.name not in ("now", "scores")}
    )
    one = signals(**{f.name: getattr(both, f.name)[2:3] for f in fields(Signals)})
    assert np.array_equal(features(both)[2:3], features(one))
