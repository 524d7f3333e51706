"""Triton model ``pinsage``: a pin's vector from what is known of it and of its neighbourhood.

In: the subgraph of ``ASKED`` pins (``operators/graph/subgraph.py``). Out: ``VECTORS`` (asked, 256), L2-normalised.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from convolver import Convolver

NAMES = ("FEATURES", "NEIGHBOURS", "WEIGHTS", "ASKED")


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        self.convolve = Convolver(Path(__file__).parent / "weights.npz")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Each request by itself; one that makes no sense spoils no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        features, neighbours, weights, asked = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in NAMES
        )
        try:
            vectors = self.convolve(features, neighbours, weights, int(asked[0]))
        except ValueError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
        return pb_utils.InferenceResponse([pb_utils.Tensor("VECTORS", np.ascontiguousarray(vectors))])
