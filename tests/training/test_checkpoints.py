"""A checkpoint is read by the plan that wrote it alone, and a refusal says what to do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT

#: In the models' environment, as the engine's has no torch.
ASKED = """
import json, sys, torch
from dataclasses import asdict, dataclass
from pathlib import Path
from training.checkpoints import OtherPlan, read, write
@dataclass(frozen=True)
class Plan:
    seed: int
@dataclass(frozen=True)
class Longer(Plan):
    steps: int = 0
def told(file, plan, *anew):
    try:
        state = read(file, plan, "cpu", *anew)
    except OtherPlan as error:
        return str(error)
    return state and state["net"].tolist()
file = Path(sys.argv[1]) / "deeper" / "state.pt"
before = told(file, Plan(1))
write({"plan": asdict(Plan(1)), "net": torch.arange(3)}, file)
answers = [before, told(file, Plan(1)), told(file, Plan(2)), told(file, Longer(1, 5), "--fresh starts anew")]
left = [each.name for each in file.parent.iterdir()]
file.write_bytes(file.read_bytes()[:-100])
print(json.dumps([*answers, told(file, Plan(1)), left]))
"""


def test_only_the_same_plan_goes_on(tmp_path: Path) -> None:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the models' environment is missing: make setup")
    done = subprocess.run(
        [python, "-c", ASKED, tmp_path], cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    nothing, same, seeded, longer, damaged, left = json.loads(done.stdout)
    assert nothing is None and same == [0, 1, 2]
    file = tmp_path / "deeper" / "state.pt"
    assert seeded == f"{file} is of Plan(seed=1), not of Plan(seed=2); remove it to start anew"
    assert longer == f"{file} is of Longer(seed=1, steps=0), not of Longer(seed=1, steps=5); --fresh starts anew"
    assert damaged.startswith(f"{file} cannot be read (") and damaged.endswith("; remove it to start anew")
    assert left == [file.name], "what was half written is gone"
