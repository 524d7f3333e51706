"""PinSage on real rooms, in the quick form: texts alone, one split. ``pinstream evaluate pinsage`` is the long one.

A room is a board of which half is known; what is to be found is the other half, among all 1,016 products.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT

pytestmark = pytest.mark.data
#: Threads that wait for each other cost more than they gain where others compute, too.
ONE = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def ladder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[float]]]:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the models' environment is missing: make setup")
    folder = tmp_path_factory.mktemp("pinsage")
    problem = folder / "rooms-0.npz"
    make = [sys.executable, "-m", "training.pinsage_data", "rooms", shared_data / "rooms", "--out", problem]
    subprocess.run(make, cwd=PROJECT, check=True, timeout=120, capture_output=True)
    teach = [python, "-m", "training.pinsage", "ladder", problem, "--seeds", "1", "--epochs", "4", "--pairs", "4096"]
    rungs = ["--rungs", "combined MLP", "PinSage", "--cache", folder, "--json"]
    done = subprocess.run([*teach, *rungs], cwd=PROJECT, check=True, timeout=240, capture_output=True, env=ONE)
    return json.loads(done.stdout)["rooms"]


def test_what_stands_beside_a_pin_finds_more_than_the_pin_alone(ladder: dict[str, dict[str, list[float]]]) -> None:
    deep = {system: values["HR@50"][0] for system, values in ladder.items()}
    print(f"\n{deep}")
    assert deep["PinSage"] > 1.1 * deep["combined MLP"], "the same data, loss and steps, without the graph"
    assert deep["PinSage"] > 1.3 * deep["text"], "the bare texts"
    assert deep["PinSage"] > 1.3 * deep["walk (Pixie)"], "the graph alone"


def test_teaching_goes_on_where_it_was_stopped(shared_data: Path, tmp_path: Path) -> None:
    """Two epochs and two more give the very weights of four."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the models' environment is missing: make setup")
    make = [
        sys.executable,
        "-m",
        "training.pinsage_data",
        "rooms",
        shared_data / "rooms",
        "--out",
        tmp_path / "r-0.npz",
    ]
    subprocess.run(make, cwd=PROJECT, check=True, timeout=120, capture_output=True)
    done = subprocess.run(
        [python, "-c", STOPPED, tmp_path], cwd=PROJECT, check=True, timeout=240, capture_output=True, env=ONE
    )
    assert done.stdout.split() == [b"True", b"4", b"OtherPlan"]


#: In the models' environment.
STOPPED = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from training.checkpoints import OtherPlan
from training.pinsage_loop import Plan, Teaching
from training.pinsage_problem import Problem
folder = Path(sys.argv[1])
problem = Problem.load(folder / "r-0.npz")
plan = Plan("r-0", "importance", True, 0, 4, 512, 32, 0.2)
whole, first, second = (Teaching(problem, plan) for _ in range(3))
for _ in range(4):
    whole.one_epoch()
for _ in range(2):
    first.one_epoch()
first.save(folder / "state.pt")
second.resume(folder / "state.pt")
for _ in range(2):
    second.one_epoch()
pairs = zip(whole.net.state_dict().values(), second.net.state_dict().values(), strict=True)
print(all(torch.equal(one, other) for one, other in pairs), second.epochs)
try:
    Teaching(problem, replace(plan, seed=1)).resume(folder / "state.pt")
except OtherPlan:
    print("OtherPlan")
"""
