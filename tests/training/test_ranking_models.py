"""Models of ranking: trees score in serving as they do in training, and what the sequence network may and must see."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.models_environment import ENVIRONMENT
from operators.linchpin.models import Forest
from streams.settings import PROJECT

#: In the models' environment, as the engine's has neither scikit-learn nor torch.
TREES = """
import json, sys, numpy as np
from pathlib import Path
from training.boosted_trees import exported, fit, learn
rows = dict(np.load(sys.argv[1]))
out = Path(sys.argv[2])
features, happened = rows["features"], rows["labels"][:, 0]
model = fit(features[:3000], happened[:3000], (features[3000:], happened[3000:]), seed=1)
(out / "raw.forest.json").write_text(json.dumps(exported(model)))
np.save(out / "logits.npy", model.decision_function(features))
print(json.dumps(learn(rows, out)))
"""
NETWORK = """
import json, torch
from training.sequence_net import Actions, SequenceNet
torch.manual_seed(0)
features, candidates = torch.randn(3, 5), torch.randn(3, 4)
kinds = torch.tensor([[1, 2, 1, 0], [3, 0, 0, 0], [0, 0, 0, 0]])
ages = torch.tensor([[60.0, 7200.0, 90000.0, 0], [100000.0, 0, 0, 0], [0, 0, 0, 0]])
actions, moment = Actions(kinds, torch.randn(3, 4, 4), ages), torch.arange(3)
told = {}
for fusion in ("none", "append", "early"):
    torch.manual_seed(1)
    net = SequenceNet(5, 4, 3, 2, fusion).eval()
    with torch.inference_mode():
        whole = net(features, candidates, actions, moment)
        told[fusion] = {
            "shape": list(whole.shape),
            "finite": bool(whole.isfinite().all()),
            "same": bool((net(features, candidates, actions, moment) == whole).all()),
            "alone": float((net(features[:1], candidates[:1], actions, moment[:1]) - whole[:1]).abs().max()),
            "padding": float((net(features, candidates, actions._replace(
                vectors=torch.where(kinds[..., None] > 0, actions.vectors, 9.0)), moment) - whole).abs().max()),
            "oldest": float((net(features, candidates, actions._replace(
                vectors=actions.vectors + (torch.arange(4) == 2)[None, :, None]), moment) - whole).abs()[0].max()),
            "candidate": float((net(features, candidates + 1, actions, moment) - whole).abs().max()),
        }
hidden = [actions.windowed(torch.Generator().manual_seed(seed)).kinds.tolist() for seed in range(200)]
told["windowed"] = {
    "older_stay": all(each[0][2] == 1 and each[1][0] == 3 for each in hidden),
    "newest_hidden": sum(each[0][0] == 0 for each in hidden),
    "second_hidden": sum(each[0][1] == 0 for each in hidden),
}
print(json.dumps(told))
"""


def run(script: str, *arguments: object) -> str:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the models' environment is missing: make setup")
    command = [python, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_trees_score_in_a_spec_as_they_do_in_training(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(size=(4000, 6)).astype(np.float32)
    features[chance.random(features.shape) < 0.2] = np.nan
    wish = 1 / (1 + np.exp(1 - 2 * np.nan_to_num(features[:, 0]) * np.nan_to_num(features[:, 1]).round()))
    examined = chance.choice([0.3, 1.0], 4000)
    labels = np.zeros((4000, 4), np.bool_)
    labels[:, 0] = chance.random(4000) < wish * examined
    np.savez(tmp_path / "rows.npz", features=features, labels=labels, examination=examined, time=np.arange(4000))
    told = json.loads(run(TREES, tmp_path / "rows.npz", tmp_path))
    forest = Forest.decode((tmp_path / "raw.forest.json").read_bytes())
    trained = np.load(tmp_path / "logits.npy")
    assert len(forest.roots) > 5 and np.ptp(trained) > 0.5
    np.testing.assert_allclose(forest(features), trained, rtol=0, atol=1e-9)
    # What is written is calibrated, of what is looked at; heads that never happened are left out.
    assert list(told) == ["save"] and told["save"]["auc"] > 0.7
    assert {file.name for file in tmp_path.glob("*.forest.json")} == {"raw.forest.json", "save.forest.json"}
    calibrated = Forest.decode((tmp_path / "save.forest.json").read_bytes())(features[3200:])
    assert abs(float((1 / (1 + np.exp(-calibrated))).mean()) - float(wish[3200:].mean())) < 0.06


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return json.loads(run(NETWORK))


@pytest.mark.parametrize("fusion", ["none", "append", "early"])
def test_the_network_answers_for_each_row_alone_and_looks_at_nothing_that_is_not_there(
    told: dict[str, Any], fusion: str
) -> None:
    answer = told[fusion]
    assert answer["shape"] == [3, 2] and answer["finite"] and answer["same"]
    assert answer["alone"] < 1e-5 and answer["padding"] < 1e-5


def test_the_sequence_is_read_and_the_candidate_inside_it(told: dict[str, Any]) -> None:
    assert told["none"]["oldest"] == 0 and told["none"]["candidate"] == 0
    for fusion in ("append", "early"):
        assert told[fusion]["oldest"] > 1e-4 and told[fusion]["candidate"] > 1e-4


def test_a_window_of_up_to_a_day_is_hidden_while_training(told: dict[str, Any]) -> None:
    window = told["windowed"]
    # A minute old, two hours old, a day and more: T is uniform in 0 … 24 h.
    assert window["older_stay"]
    assert window["newest_hidden"] >= 198 and 170 <= window["second_hidden"] <= 195
