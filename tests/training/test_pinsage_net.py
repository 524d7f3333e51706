"""PinSage as Triton serves it in numpy: what torch computes, for one pin as for many, and never for nonsense."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.models_environment import ENVIRONMENT
from operators.graph.live import LiveGraph
from operators.graph.neighbourhood import neighbourhoods
from operators.graph.subgraph import Subgraph, subgraph
from streams.settings import PROJECT

WEIGHTS = PROJECT / "model_repo" / "pinsage" / "1" / "weights.npz"
PINS, FEATURES = 60, 513
#: In the models' environment, as the engine's has no torch.
TORCH = """
import sys, numpy as np, torch
from training.pinsage_net import PinSage
given, weights = np.load(sys.argv[1]), np.load(sys.argv[3])
net = PinSage(given["x"].shape[1], "importance")
net.load_state_dict({name: torch.from_numpy(weights[name].astype(np.float32)) for name in weights.files})
x, neighbours, shares = (torch.from_numpy(given[name]) for name in ("x", "neighbours", "weights"))
with torch.inference_mode():
    np.save(sys.argv[2], net.eval()(x, neighbours, shares, int(given["asked"])).numpy())
"""


@pytest.fixture(scope="module")
def convolver() -> Any:
    spec = importlib.util.spec_from_file_location("pinsage_convolver", WEIGHTS.with_name("convolver.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Convolver(WEIGHTS)


@pytest.fixture(scope="module")
def graph() -> LiveGraph:
    """Forty of sixty pins on twelve boards; the others stand nowhere."""
    random = np.random.default_rng(0)
    made = LiveGraph()
    made.add(random.integers(1, 41, 150), random.integers(1, 13, 150))
    return made


@pytest.fixture(scope="module")
def known() -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(PINS + 1, FEATURES)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def of(graph: LiveGraph, pins: np.ndarray) -> Subgraph:
    return subgraph(pins, lambda some: neighbourhoods(graph, some, seed=0))


def test_numpy_and_torch_agree(convolver: Any, graph: LiveGraph, known: np.ndarray, tmp_path: Path) -> None:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the models' environment is missing: make setup")
    part = of(graph, np.arange(1, PINS + 1))
    x = known[part.pins]
    np.savez(tmp_path / "given.npz", x=x, neighbours=part.neighbours, weights=part.weights, asked=part.asked)
    command = [python, "-c", TORCH, tmp_path / "given.npz", tmp_path / "torch.npy", WEIGHTS]
    subprocess.run(command, cwd=PROJECT, check=True, timeout=120)
    served = convolver(x, part.neighbours, part.weights, part.asked)
    assert served.dtype == np.float32 and served.shape == (PINS, 256)
    np.testing.assert_allclose(np.linalg.norm(served, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(served, np.load(tmp_path / "torch.npy"), atol=1e-5)


def test_together_and_alone_give_the_same(convolver: Any, graph: LiveGraph, known: np.ndarray) -> None:
    pins = np.arange(1, PINS + 1)
    part = of(graph, pins)
    together = convolver(known[part.pins], part.neighbours, part.weights, part.asked)
    for row, pin in enumerate(pins):
        part = of(graph, np.array([pin]))
        alone = convolver(known[part.pins], part.neighbours, part.weights, 1)
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)


def test_a_new_pin_lies_near_its_like_without_any_board(convolver: Any, graph: LiveGraph, known: np.ndarray) -> None:
    known = known.copy()
    known[60] = known[59] + 0.01
    part = of(graph, np.array([58, 59, 60]))
    vectors = convolver(known[part.pins], part.neighbours, part.weights, 3)
    assert vectors[1] @ vectors[2] > 0.95 > vectors[0] @ vectors[2]


def test_what_is_no_subgraph_is_refused(convolver: Any) -> None:
    x = np.zeros((3, FEATURES), np.float32)
    near, shares = np.full((2, 10), -1, np.int32), np.zeros((2, 10), np.float32)
    for neighbours, asked in ((near, 0), (near, 3), (near + 4, 1), (near - 1, 1), (near[:, :5], 1), (near + 3, 1)):
        with pytest.raises(ValueError, match=r"subgraph|beyond"):
            convolver(x, neighbours, shares, asked)


def test_the_shipped_network_takes_what_the_engine_gives() -> None:
    config = (WEIGHTS.parent.parent / "config.pbtxt").read_text()
    with np.load(WEIGHTS) as stored:
        assert stored["layers.0.Q.weight"].shape[1] == FEATURES
    assert f"dims: [-1, {FEATURES}]" in config and WEIGHTS.stat().st_size < 1_500_000
