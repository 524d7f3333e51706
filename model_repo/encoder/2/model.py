"""Triton model ``encoder``: the unified embedding turns images into vectors; alike images lie close.

In: ``IMAGES`` (n, 224, 224, 3) uint8 RGB. Out: ``VECTORS`` (n, 256) float32, L2-normalised; where it is asked for,
``MEANS`` (n, 256), in every row the mean of each dimension (``training/encoder_means.py``).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import lean_torch  # noqa: F401 - before torch
import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from network import Head, Trunk


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        config: dict[str, Any] = json.loads(args["model_config"])
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))  # the other half is the detector's
        device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"
        name = config["parameters"]["weights"]["string_value"]
        folder = Path(__file__).parent
        taught = folder / "trunk.npz"  # only where the trunk was taught, too
        weights = Path(os.environ["PINSTREAM_WEIGHTS"])
        self.trunk = Trunk(weights, name, device, taught if taught.exists() else None)
        self.head = Head.load(folder / "head.npz").to(device)
        self.means = np.load(folder / "means.npy")

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests that waited together go through the network at once."""
        images = [pb_utils.get_input_tensor_by_name(request, "IMAGES").as_numpy() for request in requests]
        with torch.inference_mode():
            vectors = self.head(self.trunk(np.concatenate(images))).cpu().numpy()
        ends = np.cumsum([len(batch) for batch in images])[:-1]
        return [self._answer(request, part) for request, part in zip(requests, np.split(vectors, ends), strict=True)]

    def _answer(self, request: Any, vectors: np.ndarray) -> Any:
        outputs = [pb_utils.Tensor("VECTORS", np.ascontiguousarray(vectors))]
        if "MEANS" in request.requested_output_names():
            outputs.append(pb_utils.Tensor("MEANS", np.tile(self.means, (len(vectors), 1))))
        return pb_utils.InferenceResponse(outputs)
