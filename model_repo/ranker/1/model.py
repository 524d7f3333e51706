"""Triton model ``ranker``: what a pinner will do with each candidate (Pinnability).

In: ``FEATURES`` (n, F) float32 in the order of the spec's (``streams/feed.linchpin``). Out: ``PROBABILITIES`` (n, 4)
float32 of save, closeup, outbound click and hide, calibrated, given that the pin is looked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from scorer import Scorer


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        self.score = Scorer(Path(__file__).parent / "weights.npz")

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests that waited together go through the network at once."""
        rows = [pb_utils.get_input_tensor_by_name(request, "FEATURES").as_numpy() for request in requests]
        probabilities = self.score(np.concatenate(rows))
        ends = np.cumsum([len(each) for each in rows])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("PROBABILITIES", np.ascontiguousarray(part))])
            for part in np.split(probabilities, ends)
        ]
