import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.calibration import auc, calibration_error, log_loss, platt


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_chance_of_the_right_order(pairs):
    predicted, happened = np.array([p for p, _ in pairs], float), np.array([h for _, h in pairs])
    wins = [(p > n) + (p == n) / 2 for p in predicted[happened] for n in predicted[~happened]]
    assert auc(predicted, happened) == pytest.approx(np.mean(wins) if wins else np.nan, nan_ok=True)


def test_log_loss_of_a_coin_and_of_certainty():
    happened = np.array([True, False])
    assert log_loss(np.array([0.5, 0.5]), happened) == pytest.approx(np.log(2))
    assert log_loss(np.array([1.0, 0.0]), happened) < 1e-6


def test_calibration_error_sees_overconfidence():
    random = np.random.default_rng(0)
    p = random.random(20_000)
    happened = random.random(20_000) < p
    assert calibration_error(p, happened) < 0.02
    assert calibration_error(np.clip(p * 1.5, 0, 1), happened) > 0.15


def test_platt_finds_the_slope_and_shift_that_made_the_data_though_not_all_was_looked_at():
    random = np.random.default_rng(1)
    logits, examined = random.normal(-1, 1.5, 60_000), random.uniform(0.2, 1, 60_000)
    happened = random.random(60_000) < examined / (1 + np.exp(-(0.6 * logits - 0.5)))
    assert platt(logits, happened, examined) == pytest.approx((0.6, -0.5), abs=0.06)


def test_platt_leaves_the_slope_alone_when_there_is_nearly_no_data():
    slope, _ = platt(np.array([0.0, 3.0, -1.0]), np.array([True, False, False]), np.ones(3))
    assert slope == pytest.approx(1, abs=0.2)
