"""Trending against sums over all events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import trending
from operators.trending import Trending
from tests.operators.folded import DAY, START, engagement, shuffled


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([0.5, 30, 2000]))
def test_any_order_gives_the_sums_of_the_definition(seed: int, batches: int, days: float) -> None:
    events = engagement(300, seed, days=days)
    folded = Trending()
    for batch in shuffled(events, seed + 1, batches):
        folded.update(batch)
    now = int(events.time.max())
    scores: dict[int, float] = {}
    for pin, kind, time in zip(events.pin.tolist(), events.kind.tolist(), events.time.tolist(), strict=True):
        time = time // 3_600_000 * 3_600_000 + 1_800_000  # as of the middle of its hour
        points = trending.WEIGHTS[kind] * 2.0 ** ((time - now) / trending.HALF_LIFE_MS)
        if points > 0:
            scores[pin] = scores.get(pin, 0) + points
    found = folded.top(10, now)
    order = sorted(scores, key=lambda pin: -scores[pin])[:10]
    shown = [score for score in (scores[pin] for pin in order) if score > 1e-150]
    assert found.scores[: len(shown)].tolist() == pytest.approx(shown, rel=1e-9)
    ranked = found.pins[: len(shown)].tolist()
    assert [scores[pin] for pin in ranked] == pytest.approx(shown, rel=1e-9)


def test_the_cut_loses_nobody_of_the_top_and_removal_lets_others_up() -> None:
    random = np.random.default_rng(5)
    folded, scores = Trending(), np.zeros(60_001)
    for _ in range(20):
        pins, points = random.integers(1, 60_001, 10_000), random.random(10_000)
        folded.add(pins, np.full(10_000, START), points)
        np.add.at(scores, pins, points)
        best = np.argsort(-scores)[:100]
        assert folded.top(100, START).pins.tolist() == best.tolist()
    folded.remove(best[:60])
    scores[best[:60]] = 0
    best = np.argsort(-scores)[: trending.LARGEST]
    assert folded.top(trending.LARGEST, START).pins.tolist() == best.tolist()
    assert folded.top(1, START + DAY).scores[0] == pytest.approx(scores[best[0]] / 16)


def test_more_than_is_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="2048"):
        Trending().top(trending.LARGEST + 1, START)
