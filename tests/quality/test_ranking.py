"""Ranking on the behaviour log: the quick form of ``pinstream evaluate ranking``, and that nothing leaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.quality import behaviour_log, open_bandit
from bench.quality.figure import MissingData
from bench.quality.ranking import MOST_ERROR, behaviour_contests

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def log(shared_data: Path) -> behaviour_log.Log:
    file = shared_data / "behavior" / "user_behavior.csv"
    if not file.exists():
        pytest.skip(f"no {file}")
    return behaviour_log.read(file)


def test_later_events_change_neither_features_nor_sequences(log: behaviour_log.Log) -> None:
    rows = behaviour_log.candidates(log, 1)
    cut = behaviour_log.VALIDATION
    early = behaviour_log.Candidates(*(column[rows.time < cut] for column in rows))
    assert 10_000 < len(early.time) < len(rows.time)
    whole, alone = behaviour_log.features(log, rows), behaviour_log.features(log.before(cut), early)
    assert np.array_equal(whole[0][: len(early.time)], alone[0])
    assert np.array_equal(whole[1][: len(early.time)], alone[1])
    times = np.where(whole[1] >= 0, log.time[whole[1]], 0)
    assert (times < rows.time[:, None]).all()


def test_labels_of_a_part_are_of_what_was_known_at_its_end(log: behaviour_log.Log) -> None:
    rows = behaviour_log.candidates(log, 1)
    known = behaviour_log.saved(log, rows, behaviour_log.VALIDATION)
    assert not known[rows.time >= behaviour_log.VALIDATION].any()
    assert known.sum() < behaviour_log.saved(log, rows, int(log.time[-1]) + 1).sum()


def test_models_beat_popularity_and_the_pinners_rate_on_later_days(shared_data: Path, tmp_path: Path) -> None:
    try:
        contests = behaviour_contests(shared_data, tmp_path, 1, True, lambda _: None)
    except MissingData as missing:
        pytest.skip(str(missing))
    for contest in contests:
        champion = next(each for each in contest.entries if each.system == contest.champion)
        assert contest.reached()["AUC"], contest.lines()
        assert champion.mean("ECE") <= MOST_ERROR
        assert champion.mean("AUC 2.5 %") < champion.mean("AUC") < champion.mean("AUC 97.5 %")
    click = next(each for each in contests[0].entries if each.system == contests[0].champion)
    assert click.mean("AUC 2.5 %") > 0.85


def test_open_bandit_rates_are_of_rows_before(tmp_path: Path) -> None:
    try:
        folder = open_bandit.fetched(tmp_path, lambda _: None)
    except MissingData as missing:
        pytest.skip(str(missing))
    log = open_bandit.Bandit(folder)
    assert len(log) == 60_000 and int(log.click.sum()) == 287
    before = open_bandit.features(log, 5_000)
    log.click[5_000:] = ~log.click[5_000:]
    log.propensity[5_000:] = 0.5
    assert np.array_equal(open_bandit.features(log, 5_000), before)
    log.click[:100] = True
    assert not np.array_equal(open_bandit.features(log, 5_000), before)
