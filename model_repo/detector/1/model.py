"""Triton model ``detector``: YOLOv4-tiny finds the 80 kinds of COCO objects in letterboxed images.

In: ``IMAGES`` (n, S, S, 3) uint8 RGB. Out, padded to the fullest image of the request, best first:
``BOXES`` (n, k, 4) float32 (left, top, right, bottom; fractions of S), ``SCORES`` (n, k) float32,
``LABELS`` (n, k) text. Padding has score 0 and an empty label.
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
from darknet import Darknet
from torch import Tensor

#: Below this a box is noise; callers choose their own, higher threshold.
LEAST_SCORE = 0.01
#: Boxes of one class that overlap more are the same object.
OVERLAP = 0.45
MOST_BOXES = 100


def fast_bf16() -> bool:
    """Does the CPU multiply bfloat16 in hardware matrix units? Elsewhere it is slower than float32."""
    return torch.cpu._is_amx_tile_supported()


Objects = tuple[np.ndarray, np.ndarray, np.ndarray]


def suppress(boxes: np.ndarray, classes: np.ndarray) -> list[int]:
    """Greedy non-maximum suppression: of boxes (k, 4) sorted by falling score, those that no better one covers.

    In numpy, because torchvision, which has it too, takes as long to import as torch.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    open_, kept = np.arange(len(boxes)), []
    while len(open_):
        best, open_ = open_[0], open_[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[open_, :2])
        high = np.minimum(boxes[best, 2:], boxes[open_, 2:])
        shared = (high - low).clip(0).prod(1)
        covered = shared > OVERLAP * (areas[best] + areas[open_] - shared)
        open_ = open_[~(covered & (classes[open_] == classes[best]))]
    return kept


#: Pictures that a CPU computes together: more outgrow its cache, and each costs more (``python -m bench triton``).
CPU_BATCH = 4


class Detector:
    """The network, its decoding and its names, on one device."""

    def __init__(self, weights: Path, name: str, size: int, device: str) -> None:
        self.names = (weights / "coco.names").read_text().split("\n")[:80]
        net = Darknet(weights / f"{name}.cfg", weights / f"{name}.weights", size).eval().requires_grad_(False)
        self.net = net.to(device, memory_format=torch.channels_last)
        self.device = device
        self.half = device == "cpu" and fast_bf16()

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> list[Objects]:
        """(n, S, S, 3) uint8 → for each image boxes (k, 4), scores (k,) and class indexes (k,)."""
        at_once = CPU_BATCH if self.device == "cpu" else max(1, len(images))
        parts = [self._rows(images[start : start + at_once]) for start in range(0, len(images), at_once)]
        return [self._objects(image) for rows in parts for image in rows]

    def _rows(self, images: np.ndarray) -> Tensor:
        """(n, S, S, 3) uint8 → (n, places, 4 + classes) float32."""
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)  # channels-last already
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            return self.net(pixels.float() / 255).float().cpu()

    @staticmethod
    def _objects(rows: Tensor) -> Objects:
        scores, classes = rows[:, 4:].max(1)
        likely = (scores > LEAST_SCORE).nonzero().squeeze(1)
        order = likely[scores[likely].argsort(descending=True, stable=True)]
        boxes, scores, classes = (of[order].numpy() for of in (rows[:, :4].clamp(0, 1), scores, classes))
        kept = suppress(boxes, classes)[:MOST_BOXES]
        return boxes[kept], scores[kept], classes[kept]


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        config: dict[str, Any] = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))  # the other half is the encoder's
        device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"
        size = int(config["input"][0]["dims"][0])
        self.detector = Detector(Path(os.environ["PINSTREAM_WEIGHTS"]), parameters["weights"], size, device)

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
