"""The detector's training on real photos: it learns, survives a kill, and what it exports is what Triton's code loads.

A short training on small squares: it shows that the path works. What a real one reaches is in ``docs/detection.md``.
AP50 of the first version is that of the held-out photos alone, in the code that Triton runs.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT, Settings

pytestmark = pytest.mark.data

STEPS, EVERY = 30, 5
#: Photos of the train part that are enough for a loss to fall.
TAUGHT = 12

#: The same training in one go, and what version 2's code finds with what the killed one exported.
AGAIN = """
import json, sys, torch, numpy as np
from pathlib import Path
from training.detector import begin
from training.detector_boxes import part, read
from training.detector_loop import Plan, learn
from training.detector_scores import second
torch.set_num_threads(1)
boxes, weights, folder = map(Path, sys.argv[1:4])
plan = Plan(**json.loads(sys.argv[4]))
data = [one for one in read(boxes) if part(one.picture.name) == "train"]
learning = begin(plan, data, weights)
learn(learning, folder / "again.pt", 100, lambda *_: None)
served = second(weights, "cpu")
same = all(torch.equal(value, learning.net.state_dict()[name]) for name, value in served.net.state_dict().items())
(boxes, scores, classes), = served(np.full((1, 416, 416, 3), 114, np.uint8))
print(json.dumps({"same": same, "boxes": list(boxes.shape), "names": len(served.names)}))
"""


@pytest.fixture
def photos(shared_data: Path, tmp_path: Path) -> Path:
    """All held-out photos, and a few that teach."""
    from training.detector_boxes import part

    folder = tmp_path / "boxes"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    taught = 0
    for picture in sorted((shared_data / "boxes" / "images").glob("*.jpg")):
        if part(picture.name) == "train" and (taught := taught + 1) > TAUGHT:
            continue
        (folder / "images" / picture.name).symlink_to(picture)
        labels = shared_data / "boxes" / "labels" / f"{picture.stem}.txt"
        (folder / "labels" / labels.name).symlink_to(labels)
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    installed = Settings.load().home / "weights"
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("efficientnet-lite0.pth", "yolov4-tiny.weights", "yolov4-tiny.cfg", "coco.names"):
        if not (installed / name).exists():
            pytest.skip(f"{installed / name} is missing: run `make setup`")
        (folder / name).symlink_to(installed / name)
    return folder


@pytest.mark.timeout(900)  # half a minute of work; a busy machine takes many times that
def test_a_killed_training_goes_on_learns_and_is_served(photos: Path, weights: Path, tmp_path: Path) -> None:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the models' environment is missing: make setup")
    environment = os.environ | {"PINSTREAM_WEIGHTS": str(weights)}
    command = [python, "-m", "training.detector", "--boxes", photos, "--steps", str(STEPS), "--batch", "2"]
    command += ["--size", "128", "--every", str(EVERY), "--threads", "1", "--checkpoints", tmp_path / "kept", "--json"]

    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        told = []
        for line in running.stderr:
            told.append(line)
            if line.startswith(f"step {2 * EVERY} "):
                running.send_signal(signal.SIGKILL)
                break
        told += running.stderr.readlines()
    assert running.returncode == -signal.SIGKILL, "".join(told)
    assert not list(weights.glob("faster-rcnn*")), "nothing is served before it is trained"

    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"going on at step \d+ of {STEPS}", done.stderr)
    losses = {
        int(found[1]): sum(map(float, re.findall(r" (\d+\.\d+)(?:,|$)", found[2])))
        for found in re.finditer(r"^step (\d+) of \d+, \d+ s:(.*)$", "".join(told) + done.stderr, re.MULTILINE)
    }
    print({step: round(loss, 3) for step, loss in losses.items()})
    assert losses[STEPS] < 0.7 * losses[EVERY]

    outcome = json.loads(done.stdout)
    first, second = (outcome["measured"][version]["held out"] for version in ("1", "2"))
    print(f"AP50 of {outcome['photos']} held-out photos: version 1 {first}, version 2 after {STEPS} steps {second}")
    assert first["ap50"] > 0.4 and outcome["serve"] == 1, "a training this short is no match"

    plan = json.dumps({"steps": STEPS, "batch": 2, "size": 128, "seed": 0, "photos": TAUGHT})
    again = subprocess.run(
        [python, "-c", AGAIN, photos, weights, tmp_path, plan], cwd=PROJECT, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert found["same"], "a training that was killed gives the weights of one that was not"
    assert found["boxes"][1] == 4 and found["names"] == 81


def test_parts_follow_from_names_alone(shared_data: Path) -> None:
    from training.detector_boxes import part

    names = [file.name for file in (shared_data / "boxes" / "images").glob("*.jpg")]
    counts = [sum(part(name) == each for name in names) for each in ("train", "validation", "test")]
    assert counts == [80, 21, 25] and part("000000000009.jpg") == part("/elsewhere/000000000009.png")
