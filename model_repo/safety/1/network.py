"""open_nsfw in plain torch: a ResNet-50 of half width that says how likely a picture is not safe for work.

Source: Mahadeokar and Pesavento, "Open sourcing a deep learning solution for detecting NSFW images", Yahoo, 2016;
He et al., "Deep residual learning for image recognition", 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from onnx_weights import layers
from torch import Tensor, nn

#: What it was trained on: blue, green, red, less these means, the middle 224 of 256 pixels.
PIXEL_MEANS = (104.0, 117.0, 123.0)
SEEN = 224
#: Blocks of each stage; a stage but the first halves height and width.
BLOCKS = (3, 4, 6, 3)


def fast_bf16() -> bool:
    """Does the CPU multiply bfloat16 in hardware matrix units? Elsewhere it is slower than float32."""
    return torch.cpu._is_amx_tile_supported()


class Weights:
    """Kernels and biases of a file, batch normalisation folded in, in the order in which the network runs them."""

    def __init__(self, path: Path) -> None:
        found = layers(path)
        self._convolutions: Iterator[list[np.ndarray]] = iter([one.arrays for one in found if one.kind == "Conv"])
        dense = [one.arrays for one in found if one.kind in ("MatMul", "Add") and one.arrays]
        if [len(arrays) for arrays in dense] != [1, 1]:
            raise ValueError(f"{path.name} does not end in one matrix and its bias; is it open_nsfw?")
        (self.matrix,), (self.bias,) = dense

    def convolution(self, stride: int = 1) -> nn.Conv2d:
        """The next one. Raises ValueError when the file has no more."""
        arrays = next(self._convolutions, None)
        if arrays is None:
            raise ValueError("the file has fewer convolutions than open_nsfw")
        kernel, bias = (torch.from_numpy(array.copy()) for array in arrays)
        out, channels, size, _ = kernel.shape
        made = nn.Conv2d(channels, out, size, stride, size // 2)
        made.weight, made.bias = nn.Parameter(kernel), nn.Parameter(bias)
        return made

    @property
    def left(self) -> int:
        return len(list(self._convolutions))


class Block(nn.Module):
    """A bottleneck: 1 x 1, 3 x 3 and 1 x 1 beside a short cut, which the first of a stage widens and strides."""

    def __init__(self, weights: Weights, stride: int, *, first: bool) -> None:
        super().__init__()
        self.short = weights.convolution(stride) if first else nn.Identity()
        self.reduce, self.look, self.widen = weights.convolution(stride), weights.convolution(), weights.convolution()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.look(self.reduce(x).relu_()).relu_()
        return self.widen(inner).add_(self.short(x)).relu_()


class OpenNSFW(nn.Module):
    """``(n, 3, 224, 224)`` blue, green, red less their means → ``(n,)`` probability of not safe for work.

    Raises:
        ValueError: the file holds another network.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        weights = Weights(path)
        self.stem = weights.convolution(2)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.blocks = nn.Sequential(
            *(
                Block(weights, 2 if stage and not place else 1, first=not place)
                for stage, count in enumerate(BLOCKS)
                for place in range(count)
            )
        )
        self.dense = nn.Linear(*weights.matrix.shape)
        self.dense.weight = nn.Parameter(torch.from_numpy(weights.matrix.T.copy()))
        self.dense.bias = nn.Parameter(torch.from_numpy(weights.bias.copy()))
        if weights.left:
            raise ValueError(f"{path.name} has convolutions that open_nsfw does not use")

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(self.pool(self.stem(x).relu_())).mean((2, 3))
        return self.dense(features).float().softmax(1)[:, 1]


class Safety:
    """The network on one device."""

    def __init__(self, path: Path, device: str) -> None:
        self.dtype = torch.bfloat16 if device == "cpu" and fast_bf16() else torch.float32
        net = OpenNSFW(path).eval().requires_grad_(False)
        self.net = net.to(device, self.dtype, memory_format=torch.channels_last)
        self.means = torch.tensor(PIXEL_MEANS, device=device).reshape(1, 3, 1, 1)
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(n, s, s, 3) uint8 RGB, s at least 224 → (n,) float32."""
        edge = (images.shape[1] - SEEN) // 2
        pixels = torch.from_numpy(images[:, edge : edge + SEEN, edge : edge + SEEN, ::-1].copy()).to(self.device)
        centred = pixels.permute(0, 3, 1, 2).float() - self.means  # channels-last already
        return self.net(centred.to(self.dtype)).cpu().numpy()
