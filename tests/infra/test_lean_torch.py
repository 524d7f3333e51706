"""Models import torch without what only tracing needs: a killed Triton is back sooner."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT

#: Imports a model as Triton's backend does, tells what torch filled its table with, and uses torch.
CODE = """
import sys, types
sys.path.insert(0, sys.argv[1])
sys.modules["triton_python_backend_utils"] = types.ModuleType("backend")
import model, torch
table = vars(sys.modules["torch._meta_registrations"])
print(sum(callable(entry) for entry in table.values()), float(torch.nn.functional.relu(torch.ones(2)).sum()))
"""
MODELS = ("encoder/2", "detector/1", "safety/1")


@pytest.mark.parametrize("folder", MODELS)
def test_a_model_imports_no_more_of_torch_than_it_needs(folder: str) -> None:
    if not (ENVIRONMENT / "bin" / "python").exists():
        pytest.skip("no .venv-models: run `make setup`")
    command = [str(ENVIRONMENT / "bin" / "python"), "-c", CODE, str(PROJECT / "model_repo" / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "2.0"]


def test_they_all_do_it_alike() -> None:
    texts = {(PROJECT / "model_repo" / folder / "lean_torch.py").read_text() for folder in MODELS}
    assert len(texts) == 1


def test_a_folder_holds_all_that_its_model_imports() -> None:
    """Triton loads each folder by itself, and a folder is what a user copies."""
    for model in sorted(Path(PROJECT / "model_repo").glob("*/*/model.py")):
        if "import lean_torch" in model.read_text():
            assert (model.parent / "lean_torch.py").exists(), model
