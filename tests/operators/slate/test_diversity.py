import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.slate.diversity import _SCALE, diverse_order, similarity


def unit(random, n, d):
    vectors = random.normal(size=(n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ordered(relevance, vectors, k, *, strength=0.5, spacing=0.0, window=3, owners=None, domains=None):
    n = len(relevance)
    return diverse_order(
        np.asarray(relevance, float),
        similarity(vectors),
        np.zeros(n, np.int64) if owners is None else np.asarray(owners),
        np.zeros(n, np.int64) if domains is None else np.asarray(domains),
        k=k, strength=strength, spacing=spacing, window=window,
    ).tolist()  # fmt: skip


def naive(relevance, vectors, k, strength):
    """Try every pin at every place and compute the determinant anew."""
    gain = (1 - strength) / (2 * strength) * _SCALE * np.asarray(relevance, float)
    kernel = np.exp(gain)[:, None] * similarity(vectors) * np.exp(gain)[None, :]
    chosen: list[int] = []
    for _ in range(k):
        best, best_value = -1, -np.inf
        for i in set(range(len(gain))) - set(chosen):
            value = np.linalg.slogdet(kernel[np.ix_([*chosen, i], [*chosen, i])])[1]
            if value > best_value:
                best, best_value = i, value
        chosen.append(best)
    return chosen


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_the_fast_greedy_choice_is_the_naive_one(seed, strength):
    random = np.random.default_rng(seed)
    relevance, vectors = random.random(30), unit(random, 30, 16)
    assert ordered(relevance, vectors, 8, strength=strength) == naive(relevance, vectors, 8, strength)


def test_more_diversity_is_less_alike_and_less_relevant():
    random = np.random.default_rng(1)
    vectors = unit(random, 200, 12)
    relevance = (vectors @ vectors[0] + 1) / 2
    alike, relevant = [], []
    for strength in (0.05, 0.3, 0.6, 1.0):
        chosen = ordered(relevance, vectors, 20, strength=strength)
        cosines = vectors[chosen] @ vectors[chosen].T
        alike.append(cosines[np.triu_indices(20, 1)].mean())
        relevant.append(relevance[chosen].sum())
    assert alike == sorted(alike, reverse=True) and relevant == sorted(relevant, reverse=True)
    assert alike[0] > alike[-1] + 0.2


def test_without_diversity_it_is_the_order_of_relevance():
    random = np.random.default_rng(2)
    relevance = random.random(40)
    assert ordered(relevance, unit(random, 40, 8), 40, strength=0.0) == np.argsort(-relevance).tolist()


def test_a_twin_waits_and_pins_that_add_nothing_still_get_places():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    assert ordered([1.0, 0.9, 0.5, 0.8], vectors, 4) == [0, 2, 1, 3]


def test_spacing_keeps_one_owner_from_standing_next_to_itself():
    relevance, nothing = [1.0, 0.99, 0.98, 0.9], np.zeros((4, 3), np.float32)
    assert ordered(relevance, nothing, 4, strength=0, owners=[7, 7, 7, 8]) == [0, 1, 2, 3]
    assert ordered(relevance, nothing, 4, strength=0, owners=[7, 7, 7, 8], spacing=3) == [0, 3, 1, 2]
    assert ordered(relevance, nothing, 4, strength=0, domains=[7, 7, 7, 8], spacing=3) == [0, 3, 1, 2]


def test_unknown_owners_are_not_one_owner():
    relevance, nothing = [1.0, 0.99, 0.98, 0.9], np.zeros((4, 3), np.float32)
    assert ordered(relevance, nothing, 4, strength=0, owners=[0, 0, 0, 8], spacing=3) == [0, 1, 2, 3]


def test_a_pin_without_a_vector_is_half_like_all_others():
    kernel = similarity(np.array([[1, 0], [0, 0]], np.float32))
    assert kernel.tolist() == [[1, 0.5], [0.5, 1]]


def test_a_wrong_strength_is_refused():
    with pytest.raises(ValueError, match=r"1\.5"):
        ordered([1.0], np.ones((1, 2), np.float32), 1, strength=1.5)


def test_no_pins_no_order():
    assert ordered([], np.empty((0, 4), np.float32), 5) == []
