"""The other side of ``bench.triton``: a served model's own code in a plain loop. Runs in ``.venv-models``.

Reads a JSON line ``{"model", "folder", "config", "shape"}`` and then one ``{"batch", "seconds"}`` for each turn, and
answers each with a line: what runs, or how many images went through in how many seconds, of the clock and of the CPU.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch


class _Tensor:
    """What Triton's Python backend hands to a model, a request with one input being that input, and takes from it."""

    def __init__(self, name: str, values: np.ndarray) -> None:
        self.name, self.values = name, values

    def as_numpy(self) -> np.ndarray:
        return self.values

    def requested_output_names(self) -> list[str]:
        return []  # by name none, so what a model gives of itself


def _model(folder: Path, config: dict[str, Any], kind: str) -> Any:
    """``model.py`` as Triton would load it, with nothing between it and the caller."""
    backend: Any = types.ModuleType("triton_python_backend_utils")
    backend.Tensor = _Tensor
    backend.InferenceResponse = list
    backend.get_input_tensor_by_name = lambda request, _name: request
    sys.modules["triton_python_backend_utils"] = backend
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps(config),
            "model_instance_kind": kind,
            "model_instance_device_id": "0",
            "model_repository": str(folder.parent),
            "model_version": folder.name,
        }
    )
    return model


def main() -> None:
    given = json.loads(sys.stdin.readline())
    kind = "GPU" if torch.cuda.is_available() else "CPU"
    model = _model(Path(given["folder"]), given["config"], kind)
    draw = np.random.default_rng(0)
    device = torch.cuda.get_device_name(0) if kind == "GPU" else f"{os.cpu_count()} cores"
    _answer({"kind": kind, "device": device, "threads": torch.get_num_threads()})
    for line in sys.stdin:
        turn = json.loads(line)
        images = _Tensor("IMAGES", draw.integers(0, 256, (turn["batch"], *given["shape"]), np.uint8))
        began, at_work, done = time.perf_counter(), time.process_time(), 0
        while (taken := time.perf_counter() - began) < turn["seconds"]:
            model.execute([images])
            done += turn["batch"]
        _answer({"images": done, "seconds": taken, "cpu_seconds": time.process_time() - at_work})


def _answer(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
