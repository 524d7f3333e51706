"""The unified embedding's training, in the models' environment: a planted truth is learned, and bits keep the order."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT

HEAD = PROJECT / "model_repo" / "encoder" / "2" / "head.npz"
#: Labels lie in 8 of 64 features; the others are noise, which weighs several times as much in a distance.
PLANTED = """
import json, numpy as np, torch
from training import encoder_head as module
from training.encoder_head import Classifier, Labelled, embed, train
from training.encoder_report import measured, raw
from training.encoder_tasks import Task
from training.encoder_views import network
torch.set_num_threads(1)
draw = np.random.default_rng(0)
middles = draw.normal(0, 1, (6, 8))
labels = np.repeat(np.arange(6), 100)
signal = middles[labels] + draw.normal(0, 0.2, (3, 600, 8))
views = np.concatenate([signal, draw.normal(0, 1, (3, 600, 56))], axis=2).astype(np.float16)
task = Task("browse", [], [str(label) for label in labels], np.arange(600) % 2 == 1)
rows = np.flatnonzero(~task.test)
teaching = Labelled(torch.from_numpy(views[:-1, rows]), torch.from_numpy(labels[rows]))
told = Classifier(torch.from_numpy(draw.normal(0, 0.1, (300, 64)).astype(np.float32)), torch.zeros(300))
net = network(2)
import training.encoder_head as module
# Nothing general is true of made features, and few weights have further to go than many.
module.WIDTH, module.GENERAL, module.RATE, module.SIGMA = 32, 0.0, 1e-2, 0.3
head = train(net, [teaching], told, 0, 150)
again = train(net, [teaching], told, 0, 150)
same = all(torch.equal(one, other) for one, other in zip(head.state_dict().values(), again.state_dict().values()))
found = {"raw": measured(task, views, raw), "head": measured(task, views, lambda some: embed(head, some)), "same": same}
print(json.dumps(found))
"""


def in_models_environment(script: str) -> str:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the models' environment is missing: make setup")
    done = subprocess.run([python, "-c", script], cwd=PROJECT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_planted_is_found_and_the_same_seed_gives_the_same_head() -> None:
    found = json.loads(in_models_environment(PLANTED))
    assert found["head"]["kNN-10"] > found["raw"]["kNN-10"] + 0.2
    assert found["head"]["recall@10"] > found["raw"]["recall@10"] + 0.2
    # Ordering the best hundred bits exactly brings back what the bits lost.
    assert found["head"]["recall@10 of bits, ordered again"] >= found["head"]["recall@10"] - 0.01
    assert found["same"]


def test_the_shipped_head_is_what_the_configuration_says() -> None:
    with np.load(HEAD) as stored:
        matrix, bias = stored["matrix"], stored["bias"]
    assert matrix.shape == (256, 1280) and bias.shape == (256,)
    assert np.isfinite(matrix).all() and np.isfinite(bias).all()
    assert "VECTORS" in (text := (HEAD.parents[1] / "config.pbtxt").read_text()) and "dims: [256]" in text


@pytest.mark.parametrize(
    ("line", "reason"),
    [("{}", "image"), ('{"image": "a.jpg", "task": "t", "label": "l", "part": "?"}', "train nor test")],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"image": "a.jpg", "task": "t", "label": "l", "part": "train"}\n' + line + "\n")
    from training import encoder_tasks

    with pytest.raises(ValueError, match=f"line 2.*{reason}"):
        encoder_tasks.lines(file)
