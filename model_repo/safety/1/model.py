"""Triton model ``safety``: how likely a picture is not safe for work.

In: ``IMAGES`` (n, 256, 256, 3) uint8 RGB, of which the middle is looked at, as in training. Out: ``SCORES`` (n, 1)
float32, 0 (harmless) … 1.
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
from network import Safety


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        config: dict[str, Any] = json.loads(args["model_config"])
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))  # the other half is the detector's and the encoder's
        device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"
        name = config["parameters"]["weights"]["string_value"]
        self.safety = Safety(Path(os.environ["PINSTREAM_WEIGHTS"]) / f"{name}.onnx", device)

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests that waited together go through the network at once."""
        images = [pb_utils.get_input_tensor_by_name(request, "IMAGES").as_numpy() for request in requests]
        scores = self.safety(np.concatenate(images))[:, None]
        ends = np.cumsum([len(batch) for batch in images])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", np.ascontiguousarray(part))])
            for part in np.split(scores, ends)
        ]
