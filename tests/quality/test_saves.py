"""The streamed model of saves on a part of the real ones: it stands its ground beside what is fitted to all at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.quality import batch_recommenders as batch
from bench.quality.real_saves import HIT, METRICS, RECALL, Protocols, load, only
from bench.quality.saves import scorer, streamed

pytestmark = pytest.mark.data


def test_the_streamed_model_beside_batch_recommenders(shared_data: Path) -> None:
    saves = only(load(shared_data), pinners=4_000, items=1_500)
    protocols = Protocols(saves, np.arange(4_000))
    model = streamed(saves, seed=0, quick=True)
    found = {
        "streamed": protocols.judge(scorer(saves, model)),
        "RP3β": protocols.judge(batch.walks_of_three(saves.known, batch.RP3_ALPHA, batch.RP3_BETA)),
        "EASE": protocols.judge(batch.ease(saves.known)),
        "popular": protocols.judge(batch.popular(saves.known)),
    }
    for metric in METRICS:
        assert found["streamed"][metric] > 1.5 * found["popular"][metric], found
    # Seeds differ by less than a hundredth; all saves are measured in docs/collaborative.md.
    for metric in METRICS:
        assert found["streamed"][metric] > found["EASE"][metric], found
        assert found["streamed"][metric] > 0.99 * found["RP3β"][metric], found


def test_both_protocols_of_a_perfect_and_of_a_random_recommender(shared_data: Path) -> None:
    saves = only(load(shared_data), pinners=1_000, items=1_500)
    protocols = Protocols(saves, np.arange(1_000))
    perfect = protocols.judge(lambda pinners: saves.later[pinners].toarray())
    assert all(value == pytest.approx(1) for value in perfect.values())
    chance = np.random.default_rng(0)
    random = protocols.judge(lambda pinners: chance.random((len(pinners), 1_500), np.float32))
    assert random[HIT] == pytest.approx(0.1, abs=0.02)
    assert random[RECALL] == pytest.approx(20 / 1_500, abs=0.01)
