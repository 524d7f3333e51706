"""Triton model ``encoder``: EfficientNet-lite0 turns images into vectors; alike images lie close.

In: ``IMAGES`` (n, 224, 224, 3) uint8 RGB. Out: ``VECTORS`` (n, 1280) float32, mean-pooled features, L2-normalised.
Source: Tan and Le, EfficientNet, 2019; the lite variants by Liu, 2020.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

#: What the network was trained on: (pixel - 127) / 128.
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0


def fast_bf16() -> bool:
    """Does the CPU multiply bfloat16 in hardware matrix units? Elsewhere it is slower than float32."""
    return torch.cpu._is_amx_tile_supported()


def fold(block: nn.Module, convolution: str, normalisation: str) -> None:
    """Fold a batch normalisation into the convolution before it; what is left of it is the identity."""
    conv, norm = getattr(block, convolution), getattr(block, normalisation)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    setattr(block, normalisation, nn.Identity())


class Encoder:
    """The network on one device."""

    def __init__(self, weights: Path, name: str, device: str) -> None:
        net = EfficientNet.from_name(name)
        net.load_state_dict(torch.load(weights / f"{name}.pth", weights_only=True), strict=True)
        net = net.eval().requires_grad_(False)
        fold(net, "_conv_stem", "_bn0")
        fold(net, "_conv_head", "_bn1")
        for block in net._blocks:
            if hasattr(block, "_expand_conv"):
                fold(block, "_expand_conv", "_bn0")
            fold(block, "_depthwise_conv", "_bn1")
            fold(block, "_project_conv", "_bn2")
        self.dtype = torch.bfloat16 if device == "cpu" and fast_bf16() else torch.float32
        self.net = net.requires_grad_(False).to(device, self.dtype, memory_format=torch.channels_last)
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(n, 224, 224, 3) uint8 → (n, 1280) float32, L2-normalised."""
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)  # channels-last already
        features = self.net.extract_features(((pixels.float() - PIXEL_MEAN) / PIXEL_SCALE).to(self.dtype))
        return nn.functional.normalize(features.float().mean((2, 3)), dim=1).cpu().numpy()


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        config: dict[str, Any] = json.loads(args["model_config"])
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))  # the other half is the detector's
        device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"
        name = config["parameters"]["weights"]["string_value"]
        self.encoder = Encoder(Path(os.environ["PINSTREAM_WEIGHTS"]), name, device)

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests that waited together go through the network at once."""
        images = [pb_utils.get_input_tensor_by_name(request, "IMAGES").as_numpy() for request in requests]
        vectors = self.encoder(np.concatenate(images))
        ends = np.cumsum([len(batch) for batch in images])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("VECTORS", np.ascontiguousarray(part))])
            for part in np.split(vectors, ends)
        ]
