"""Teaching the encoder's trunk, in the models' environment: it learns, goes on where it was stopped, and is served."""

from __future__ import annotations

import json
import subprocess

import pytest

from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT, Settings

PHOTOS = PROJECT / "examples" / "sample" / "photos"
#: The last two blocks, on six photos: two passes at once, and one and one with a stop between.
TAUGHT = """
import json, sys
from pathlib import Path
import numpy as np, torch
from training.encoder import TRUNK, classifier, weights_folder, write_halves
from training.encoder_trunk import maps_of
from training.encoder_teaching import Plan, Teaching
from training.encoder_views import network
from training.checkpoints import OtherPlan
torch.set_num_threads(1)
photos, out, first = sorted(Path(sys.argv[1]).glob("*.jpg"))[:6], Path(sys.argv[2]), 14
module = network(2)
def fresh():
    trunk = module.Trunk(weights_folder(), TRUNK, "cpu")
    net = trunk.net.float()
    maps = maps_of(net, first, photos, out / "maps", "cpu")
    tasks = [(torch.arange(6), torch.tensor([0, 1, 2, 0, 1, 2])), (torch.arange(6), torch.arange(6))]
    return net, maps, Teaching(module, net, maps, tasks, classifier(), Plan(first, 2, 0), "cpu")
net, maps, whole = fresh()
whole_image = module.Trunk(weights_folder(), TRUNK, "cpu")
losses = [whole.one_pass() for _ in range(2)]
_, _, stopped = fresh()
stopped.one_pass(); stopped.save(out / "trunk.pt")
_, _, again = fresh()
assert again.resume(out / "trunk.pt") and again.passes == 1
again.one_pass()
same = all(torch.equal(one, again.mean[name]) for name, one in whole.mean.items())
try:
    again.plan = Plan(first, 4, 0); again.resume(out / "trunk.pt"); refused = ""
except OtherPlan as error:
    refused = str(error)
file = write_halves(whole.taught(), out / "trunk.npz")
taught = module.Trunk(weights_folder(), TRUNK, "cpu", file)
pixels = np.random.default_rng(0).integers(0, 255, (1, 224, 224, 3), np.uint8)
plain, other = whole_image(pixels), taught(pixels)
moved = float((plain - other).abs().max())
blocks = sorted({name.split(".")[1] for name in whole.mean if "_blocks" in name})
print(json.dumps({"losses": losses, "same": same, "refused": refused, "moved": moved, "blocks": blocks}))
"""


def test_later_blocks_learn_go_on_after_a_stop_and_are_served(tmp_path_factory: pytest.TempPathFactory) -> None:
    python, weights = ENVIRONMENT / "bin" / "python", Settings.load().home / "weights"
    if not python.exists() or not (weights / "efficientnet-lite0.pth").exists():
        pytest.skip("the models' environment or its weights are missing: make setup, pinstream up")
    out = tmp_path_factory.mktemp("trunk")
    command = [python, "-c", TAUGHT, PHOTOS, out]
    environment = {"PINSTREAM_WEIGHTS": str(weights), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["losses"][-1] < found["losses"][0]
    assert found["same"], "stopped and gone on with, the weights are not those of one run"
    assert "not of" in found["refused"]
    assert found["blocks"] == ["14", "15"], "an earlier block was taught"
    assert found["moved"] > 1e-3, "what serves is not what was taught"
