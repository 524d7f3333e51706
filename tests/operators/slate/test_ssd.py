"""Sliding spectrum decomposition: the greedy choice is the best one, and the knob does what it says."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.slate.diversity import similarity
from operators.slate.ssd import ssd_order


def unit(random, n, d):
    vectors = random.normal(size=(n, d))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def chosen(relevance, vectors, *, k, strength, sliding=10, owners=None, spacing=0.0):
    none = np.zeros(len(relevance), np.int64)
    kernel = (1 + vectors @ vectors.T) / 2
    np.fill_diagonal(kernel, 1.0)
    return ssd_order(
        np.asarray(relevance, np.float64), kernel, none if owners is None else owners, none, k=k, strength=strength,
        spacing=spacing, window=4, sliding=sliding,
    ).tolist()  # fmt: skip


def missed(relevance, vectors, order, strength, sliding):
    """By how much each choice of ``order`` falls short of the best one then, ``(k,)``.

    Every step from the vectors themselves: Gram-Schmidt against the window, as the paper's algorithm has it.
    """
    left, window, short = vectors.copy(), [], []
    for step, best in enumerate(order):
        if len(window) == sliding:
            oldest, along, _ = window.pop(0)
            left = left + along[:, None] * oldest[None, :]
        volume = float(np.prod([norm for *_, norm in window]))
        values = (1 - strength) * relevance + strength * volume * np.linalg.norm(left, axis=1)
        values[order[:step]] = -np.inf
        short.append(values.max() - values[best])
        norm = float(np.linalg.norm(left[best]))
        along = left @ (left[best] / norm)
        along[order[: step + 1]] = 0
        window.append((left[best] / norm, along, norm))
        left = left - along[:, None] * window[-1][0][None, :]
    return np.array(short)


@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(1, 12))
@example(0, 1.0, 1)
def test_every_choice_is_the_best_one(seed, strength, sliding):
    random = np.random.default_rng(seed)
    relevance, vectors = random.random(60), unit(random, 60, 16)
    order = chosen(relevance, vectors, k=20, strength=strength, sliding=sliding)
    assert len(set(order)) == 20
    # Without relevance all pins are worth the same at first, but for rounding.
    assert missed(relevance, vectors, order, strength, sliding).max() < 1e-9


def test_more_strength_is_less_alike_and_less_relevant():
    alike, relevant = [], []
    for strength in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        similar, good = 0.0, 0.0
        for seed in range(40):
            random = np.random.default_rng(seed)
            vectors = unit(random, 125, 24)
            relevance = random.random(125)
            rows = chosen(relevance, vectors, k=25, strength=strength, sliding=6)
            near = vectors[rows] @ vectors[rows].T
            similar += sum(abs(near[one, other]) for one in range(25) for other in range(max(0, one - 5), one))
            good += relevance[rows].sum()
        alike.append(similar)
        relevant.append(good)
    assert alike == sorted(alike, reverse=True) and relevant == sorted(relevant, reverse=True), (alike, relevant)


def test_relevance_alone_and_a_pin_that_is_there_already():
    relevance = np.array([0.9, 0.8, 0.7, 0.1])
    vectors = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert chosen(relevance, vectors, k=4, strength=0.0) == [0, 1, 2, 3]
    assert chosen(relevance, vectors, k=4, strength=0.5)[:2] == [0, 2]
    assert sorted(chosen(relevance, vectors, k=9, strength=1.0)) == [0, 1, 2, 3]
    assert chosen(np.zeros(0), np.zeros((0, 2)), k=5, strength=0.5) == []


def test_what_left_the_window_is_new_again():
    relevance = np.array([1.0, 0.9, 0.8, 0.95])
    vectors = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert chosen(relevance, vectors, k=4, strength=0.6, sliding=1)[1] == 3
    assert chosen(relevance, vectors, k=4, strength=0.6, sliding=2)[2] == 3
    assert chosen(relevance, vectors, k=4, strength=0.6, sliding=4)[3] == 3


def test_spacing_keeps_an_owner_apart():
    owners = np.array([5, 5, 6, 7])
    vectors = np.eye(4)
    assert chosen([0.9, 0.89, 0.88, 0.1], vectors, k=2, strength=0.2, owners=owners, spacing=0.5) == [0, 2]


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"strength": 0.5, "sliding": 0}])
def test_wrong_choices_are_refused(wrong):
    with pytest.raises(ValueError, match=r"strength|window"):
        chosen(np.ones(3), np.eye(3), k=2, **wrong)


def test_the_kernel_of_diversity_serves_both():
    vectors = unit(np.random.default_rng(1), 10, 4).astype(np.float32)
    none = np.zeros(10, np.int64)
    given_ = {"k": 5, "strength": 0.5, "spacing": 0.0, "window": 4, "sliding": 5}
    relevance = np.linspace(1, 0, 10)
    assert ssd_order(relevance, similarity(vectors), none, none, **given_).tolist() == chosen(
        relevance, vectors.astype(np.float64), k=5, strength=0.5, sliding=5
    )
