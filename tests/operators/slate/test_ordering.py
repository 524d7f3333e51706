import numpy as np

from operators.slate.diversity import similarity
from operators.slate.ordering import Ordering, order

NONE = np.zeros(60, np.int64)


def ordered(utilities, *, seed=1, last=None, **choices):
    utilities = np.asarray(utilities, np.float32)
    n = len(utilities)
    vectors = np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)
    return order(
        utilities,
        lambda rows: similarity(vectors[rows]),
        NONE[:n],
        NONE[:n],
        seed=seed,
        ordering=Ordering(**{"size": 10} | choices),
        last=last,
    ).tolist()


def test_the_same_seed_gives_the_same_slate_and_another_settles_ties_otherwise():
    assert ordered(np.ones(60)) == ordered(np.ones(60))
    assert ordered(np.ones(60)) != ordered(np.ones(60), seed=2)
    distinct = np.linspace(0, 1, 60)
    assert ordered(distinct, seed=1) == ordered(distinct, seed=2)


def test_repeats_only_fill_what_the_others_leave():
    last = np.arange(60) >= 6
    utilities = np.where(last, 100.0, 1.0)
    chosen = ordered(utilities, last=last)
    assert set(chosen[:6]) == set(range(6)) and len(chosen) == 10
    assert all(last[row] for row in chosen[6:])


def test_fewer_candidates_than_places_and_none_at_all():
    assert sorted(ordered(np.arange(3))) == [0, 1, 2]
    assert ordered([]) == []


def test_diversity_only_chooses_among_the_best():
    chosen = ordered(np.arange(60.0)[::-1], pool=2, strength=1.0)
    assert max(chosen) < 20 and len(set(chosen)) == 10
