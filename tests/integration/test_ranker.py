"""The ranker: the committed weights fit the features, and Triton answers what they say."""

import re

import numpy as np
import pytest

from operators.slate.utility import ACTIONS
from streams.settings import PROJECT
from streams.slate_spec import shipped
from streams.stores.triton import TritonModels

RANKER = PROJECT / "model_repo" / "ranker"
NAMES = shipped().names


@pytest.fixture(scope="module")
def weights():
    with np.load(RANKER / "1" / "weights.npz") as stored:
        return {name: stored[name] for name in stored.files}


def expected(weights, features):
    """The network once more, in numpy and float64."""
    normal = np.clip((features - weights["mean"]) / weights["scale"], -5, 5).astype(np.float64)
    hidden = normal
    for layer in ("trunk.0", "trunk.3"):
        hidden = np.maximum(hidden @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
    logits = hidden @ weights["heads.weight"].T + weights["heads.bias"] + normal @ weights["wide.weight"].T
    return 1 / (1 + np.exp(-(logits * weights["slope"] + weights["shift"])))


def test_the_weights_were_trained_with_the_features_of_today(weights):
    assert weights["names"].tolist() == list(NAMES), "features changed: make train-ranker"
    assert f"dims: [{len(NAMES)}]" in (RANKER / "config.pbtxt").read_text()
    heads = re.search(r"HEADS = (\(.*\))", (PROJECT / "training" / "ranker_net.py").read_text())
    assert heads is not None and heads[1] == str(ACTIONS).replace("'", '"')
    assert (RANKER / "1" / "weights.npz").stat().st_size < 200_000


def test_a_better_and_more_relevant_pin_is_saved_more_often(weights):
    pins = np.tile(weights["mean"], (2, 1))
    for name in ("quality", "quality_wider", "relevance", "nearest", "from_boards", "from_visual"):
        column = NAMES.index(name)
        pins[:, column] += np.array([-1, 1]) * weights["scale"][column]
    save = expected(weights, pins)[:, ACTIONS.index("save")]
    assert save[1] > 1.5 * save[0]


@pytest.mark.real
async def test_triton_answers_what_the_weights_say(triton, weights):
    features = np.random.default_rng(0).normal(weights["mean"], weights["scale"], (16_385, len(NAMES)))
    features = features.astype(np.float32)
    models = TritonModels(triton)
    served, version = await models.rank(features)
    assert version == "1"
    assert served.shape == (16_385, 4) and served.dtype == np.float32
    assert np.allclose(served, expected(weights, features), atol=1e-5)
    assert (await models.rank(features[:0])).probabilities.shape == (0, 4)
    assert (await models.versions())["ranker"] == "1"
    await models.close()
