"""The unified embedding: EfficientNet-lite0 and one trained layer, as ``training/encoder.py`` writes it.

Source: Zhai et al., "Learning a unified embedding for visual search at Pinterest", KDD 2019; the trunk is Tan and Le,
EfficientNet, 2019, in Liu's lite variant, 2020.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

#: What the trunk was trained on: (pixel - 127) / 128.
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


#: So many images go through a CPU together: what they leave between layers fits its cache. Two took a sixth longer,
#: four nearly twice as long for each (``python -m bench triton``).
CPU_BATCH = 1


class Trunk:
    """The network up to its mean-pooled features, on one device."""

    def __init__(self, weights: Path, name: str, device: str, taught: Path | None = None) -> None:
        """``taught``: weights that take the place of the registry's (``training/encoder_trunk.py``)."""
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
        if taught is not None:
            with np.load(taught) as stored:
                changed = {key: torch.from_numpy(stored[key].astype(np.float32)) for key in stored.files}
            net.load_state_dict(net.state_dict() | changed, strict=True)
        self.dtype = torch.bfloat16 if device == "cpu" and fast_bf16() else torch.float32
        self.net = net.requires_grad_(False).to(device, self.dtype, memory_format=torch.channels_last)
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> Tensor:
        """(n, 224, 224, 3) uint8 RGB → (n, 1280) float32."""
        if self.device != "cpu":
            return self._features(images)
        return torch.cat([self._features(images[at : at + CPU_BATCH]) for at in range(0, len(images), CPU_BATCH)])

    def _features(self, images: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)  # channels-last already
        features = self.net.extract_features(((pixels.float() - PIXEL_MEAN) / PIXEL_SCALE).to(self.dtype))
        return features.float().mean((2, 3))


class Head(nn.Module):
    """(n, features) → (n, width), L2-normalised: features normalised row by row, then one linear layer."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, features: Tensor) -> Tensor:
        alike = nn.functional.layer_norm(features, features.shape[-1:])
        return nn.functional.normalize(self.linear(alike), dim=-1)

    @classmethod
    def load(cls, path: Path) -> Head:
        """The head in an npz file with ``matrix`` (width, features) and ``bias`` (width,)."""
        with np.load(path) as stored:
            matrix, bias = (torch.from_numpy(stored[name].astype(np.float32)) for name in ("matrix", "bias"))
        head = cls(matrix.shape[1], matrix.shape[0])
        head.load_state_dict({"linear.weight": matrix, "linear.bias": bias})
        return head.eval().requires_grad_(False)
