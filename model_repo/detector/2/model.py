"""Triton model ``detector``, version 2: Faster R-CNN, with the inputs and outputs of version 1.

In: ``IMAGES`` (n, S, S, 3) uint8 RGB. Out, padded to the fullest image of the request, best first:
``BOXES`` (n, k, 4) float32 (left, top, right, bottom; fractions of S), ``SCORES`` (n, k) float32,
``LABELS`` (n, k) text. Padding has score 0 and an empty label.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from network import Detector, Objects, WeightsUnusable


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        config: dict[str, Any] = json.loads(args["model_config"])
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))  # the other half is the encoder's
        device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"
        name = config["parameters"]["weights_2"]["string_value"]
        try:
            self.detector = Detector(Path(os.environ["PINSTREAM_WEIGHTS"]), name, device)
        except WeightsUnusable as error:
            raise pb_utils.TritonModelException(f"{error}; version 1 serves with PINSTREAM_DETECTOR=1") from None

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests that waited together go through the network at once."""
        images = [pb_utils.get_input_tensor_by_name(request, "IMAGES").as_numpy() for request in requests]
        found = iter(self.detector(np.concatenate(images)))
        return [self._response([next(found) for _ in batch]) for batch in images]

    def _response(self, found: list[Objects]) -> Any:
        most = max(len(scores) for _, scores, _ in found)
        boxes = np.zeros((len(found), most, 4), np.float32)
        scores = np.zeros((len(found), most), np.float32)
        labels = np.full((len(found), most), "", object)
        for row, (its_boxes, its_scores, its_classes) in enumerate(found):
            count = len(its_scores)
            boxes[row, :count], scores[row, :count] = its_boxes, its_scores
            labels[row, :count] = [self.detector.names[index] for index in its_classes.tolist()]
        outputs = {"BOXES": boxes, "SCORES": scores, "LABELS": labels}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])
