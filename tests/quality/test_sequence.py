"""Real actions in time order, the quick form: the streamed model beats batch models refitted every day."""

import numpy as np
import pytest

from bench.quality.daily_baselines import Pairs, ease, knn
from bench.quality.figure import MissingData
from bench.quality.sequence import contest_of, place
from bench.quality.sequence_data import Log, movielens
from streams.settings import Settings


@pytest.mark.data
def test_the_streamed_model_beats_daily_refits_on_movielens():
    try:
        log = movielens(Settings.load())
    except MissingData as missing:
        pytest.skip(str(missing))
    first = Log(*(column[:120_000] for column in log))
    contest = contest_of(first, "MovieLens-1M, its first part", "test", days=12, step=20)
    assert all(contest.reached().values()), "\n".join(contest.lines())


def test_batch_models_find_who_stands_together():
    pairs = Pairs(users=40, items=6, longest=3)
    for user in range(40):
        pairs.add(np.full(3, user), np.arange(3) + 3 * (user % 2))
    for weights in (knn(pairs.counts, 2, 1.0), ease(pairs.counts, 10.0)):
        assert (weights.diagonal() == 0).all()
        assert weights[0].argmax() in (1, 2) and weights[0, 1] > abs(weights[0, 3:]).max()


def test_places_count_half_of_the_ties_and_leave_out_what_was_rated():
    scores = np.array([5.0, 4.0, 4.0, 4.0, 1.0])
    rated = np.array([True, False, False, False, False])
    assert place(scores, 2, rated) == 1
    assert place(scores, 4, rated) == 3
