"""What every contest is measured with, against values worked out by hand."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from bench.quality.__main__ import main
from bench.quality.contest import Contest, Entry
from bench.quality.ranking_metrics import (
    auc,
    bootstrap,
    calibration_error,
    hit_rate,
    ndcg_at,
    ndcg_of_one,
    rank_among,
    recall_at,
)


def test_recall_counts_all_that_are_wanted() -> None:
    hits = np.array([[True, False, True], [False, False, False]])
    assert recall_at(hits, np.array([4, 1])).tolist() == [0.5, 0.0]


def test_ndcg_is_one_for_the_best_order_and_less_for_a_later_hit() -> None:
    hits = np.array([[True, True, False], [False, False, True]])
    assert ndcg_at(hits, np.array([2, 1])) == pytest.approx([1.0, 0.5])


def test_the_place_among_negatives() -> None:
    places = rank_among(np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.5, 0.5]]))
    assert places.tolist() == [1, 1]
    assert hit_rate(np.array([0, 9, 10])) == pytest.approx(2 / 3)
    assert ndcg_of_one(np.array([0, 2, 10])) == pytest.approx((1 + 0.5) / 3)


def test_auc_counts_ties_half() -> None:
    truth = np.array([False, True, False, True])
    assert auc(truth, np.array([0.1, 0.2, 0.2, 0.4])) == 0.875
    assert np.isnan(auc(np.ones(2, np.bool_), np.zeros(2)))


def test_the_interval_of_auc_holds_it_and_is_wider_for_pinners_than_for_rows() -> None:
    chance = np.random.default_rng(7)
    groups = np.repeat(np.arange(30), 20)
    taste = chance.normal(size=30)[groups]
    truth = taste + chance.normal(size=600) > 0
    low, high = bootstrap(truth, taste, groups, rounds=200)
    by_row = bootstrap(truth, taste, np.arange(600), rounds=200)
    assert low < auc(truth, taste) < high
    assert high - low > by_row[1] - by_row[0]


def test_calibration_error_of_a_constant_is_its_distance_from_the_rate() -> None:
    truth = np.arange(100) % 4 == 0
    assert calibration_error(truth, np.full(100, 0.25), bins=5) == pytest.approx(0.0)
    assert calibration_error(truth, np.full(100, 0.75), bins=5) == pytest.approx(0.5)


def test_a_contest_says_what_was_reached_in_every_form() -> None:
    contest = Contest(
        "Saves & more", "test, 2 pinners", ["recall@20"],
        [Entry("batch", False, {"recall@20": (0.1,)}, 65.0), Entry("stream", True, {"recall@20": (0.1, 0.3)})],
        goals={"recall@20": 0.15}, champion="stream",
    )  # fmt: skip
    text = "\n".join(contest.lines())
    assert "* stream" in text
    assert "0.2000 ± 0.1000" in text
    assert "recall@20 ≥ 0.15: yes" in text
    assert contest.told()["goals"] == [{"metric": "recall@20", "least": 0.15, "met": True}]
    bars = ElementTree.fromstring(contest.chart("recall@20")).findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 3


def test_help_lists_only_what_is_there() -> None:
    answer = CliRunner().invoke(main, ["--help"])
    assert answer.exit_code == 0
    assert "vision" in answer.output
