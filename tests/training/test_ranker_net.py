"""The ranker that Triton serves in numpy computes what the network computes that was trained in torch."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT

WEIGHTS = PROJECT / "model_repo" / "ranker" / "1" / "weights.npz"
#: In the models' environment, as the engine's has no torch.
TORCH = """
import sys, numpy as np, torch
from training.ranker_net import Net
features, out, weights = np.load(sys.argv[1]), sys.argv[2], np.load(sys.argv[3])
net = Net(features.shape[1])
net.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files if name != "names"})
with torch.inference_mode():
    np.save(out, net.eval().probabilities(torch.from_numpy(features)).numpy())
"""


def scorer() -> Any:
    spec = importlib.util.spec_from_file_location("ranker_scorer", WEIGHTS.with_name("scorer.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Scorer(WEIGHTS)


def test_numpy_and_torch_agree_to_the_last_bits(tmp_path: Path) -> None:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the models' environment is missing: make setup")
    with np.load(WEIGHTS) as stored:
        mean, scale = stored["mean"], stored["scale"]
    # Wide enough that some inputs are cut.
    features = np.random.default_rng(1).normal(mean, 3 * scale, (5_000, len(mean))).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    command = [python, "-c", TORCH, tmp_path / "features.npy", tmp_path / "torch.npy", WEIGHTS]
    subprocess.run(command, cwd=PROJECT, check=True, timeout=120)
    served = scorer()(features)
    assert served.dtype == np.float32
    np.testing.assert_allclose(served, np.load(tmp_path / "torch.npy"), rtol=2e-5, atol=1e-9)
