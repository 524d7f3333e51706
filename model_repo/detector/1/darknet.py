"""Darknet networks (YOLOv4-tiny) in plain torch, built from their ``.cfg`` and ``.weights`` files.

Source: https://github.com/AlexeyAB/darknet (formats); Bochkovskiy et al., YOLOv4, 2020 (decoding).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

#: The ``.weights`` header: three int32 (version) and one int64 (images seen).
HEADER_BYTES = 20
BATCH_NORM_EPSILON = 1e-5
LEAKY_SLOPE = 0.1


def read_cfg(path: Path) -> list[dict[str, str]]:
    """The sections of a ``.cfg`` file, each with its name under ``"section"``."""
    sections: list[dict[str, str]] = []
    for raw in path.read_text().splitlines():
        line = raw.split("#")[0].strip()
        if line.startswith("["):
            sections.append({"section": line.strip("[]")})
        elif line:
            key, _, value = line.partition("=")
            sections[-1][key.strip()] = value.strip()
    return sections


class Weights:
    """A cursor over the floats of a ``.weights`` file."""

    def __init__(self, path: Path) -> None:
        self._floats = torch.from_numpy(np.fromfile(path, np.float32, offset=HEADER_BYTES))
        self._next = 0

    def take(self, *shape: int) -> Tensor:
        """The next floats in this shape. Raises ValueError when the file is too short."""
        count = int(np.prod(shape))
        if self._next + count > len(self._floats):
            raise ValueError(f"the weights file ends after {len(self._floats)} floats; the network wants more")
        self._next += count
        return self._floats[self._next - count : self._next].reshape(shape)

    @property
    def left(self) -> int:
        return len(self._floats) - self._next


class Yolo(nn.Module):
    """One detection head: ``(n, anchors * (5 + classes), h, w)`` → ``(n, h * w * anchors, 4 + classes)``.

    Rows are (left, top, right, bottom) as fractions of the input, then class scores
    (objectness times class probability).
    """

    def __init__(self, section: dict[str, str], size: int) -> None:
        super().__init__()
        pairs = torch.tensor([float(number) for number in section["anchors"].split(",")]).reshape(-1, 2)
        self.register_buffer("anchors", pairs[[int(i) for i in section["mask"].split(",")]] / size)
        self.stretch = float(section.get("scale_x_y", 1))

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        x = x.reshape(n, len(self.anchors), -1, height, width).permute(0, 3, 4, 1, 2)
        rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        cells = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).reshape(1, height, width, 1, 2)
        grid = torch.tensor([width, height], device=x.device)
        centre = (x[..., :2].sigmoid() * self.stretch - (self.stretch - 1) / 2 + cells) / grid
        half = x[..., 2:4].exp() * self.anchors / 2
        scores = x[..., 4:5].sigmoid() * x[..., 5:].sigmoid()
        return torch.cat([centre - half, centre + half, scores], -1).reshape(n, height * width * len(self.anchors), -1)


class Darknet(nn.Module):
    """``(n, 3, size, size)`` RGB in 0 … 1 → ``(n, boxes, 4 + classes)``, as :class:`Yolo`.

    Batch normalisation is folded into the convolutions while loading.

    Raises:
        ValueError: the weights file is too short or too long for the network, or a section is unknown.
    """

    def __init__(self, cfg: Path, weights: Path, size: int) -> None:
        super().__init__()
        _, *self.sections = read_cfg(cfg)
        self.layers = nn.ModuleList()
        floats, channels = Weights(weights), [3]
        for section in self.sections:
            layer, out = self._layer(section, channels, floats, size)
            self.layers.append(layer)
            channels.append(out)
        if floats.left:
            raise ValueError(f"{weights.name} has {floats.left} floats that {cfg.name} does not use")

    def _layer(self, section: dict[str, str], channels: list[int], floats: Weights, size: int) -> tuple[nn.Module, int]:
        match section["section"]:
            case "convolutional":
                return self._convolution(section, channels[-1], floats), int(section["filters"])
            case "maxpool":
                return nn.MaxPool2d(int(section["size"]), int(section["stride"])), channels[-1]
            case "upsample":
                return nn.Upsample(scale_factor=int(section["stride"])), channels[-1]
            case "route":
                joined = sum(channels[1:][index] for index in self._sources(section, len(channels) - 1))
                return nn.Identity(), joined // int(section.get("groups", 1))
            case "yolo":
                # Anchors are in pixels of the size that the network was trained at, whatever size it runs at.
                return Yolo(section, size), channels[-1]
            case unknown:
                raise ValueError(f"section [{unknown}] is not supported")

    def _convolution(self, section: dict[str, str], channels: int, floats: Weights) -> nn.Module:
        filters, size, normalised = int(section["filters"]), int(section["size"]), "batch_normalize" in section
        convolution = nn.Conv2d(channels, filters, size, int(section["stride"]), size // 2)
        bias = floats.take(filters)
        scale, mean, variance = (floats.take(filters) for _ in range(3)) if normalised else (1, 0, 1)
        kernel = floats.take(filters, channels, size, size)
        if normalised:
            scale = scale / torch.sqrt(variance + BATCH_NORM_EPSILON)
            kernel, bias = kernel * scale.reshape(-1, 1, 1, 1), bias - mean * scale
        convolution.weight, convolution.bias = nn.Parameter(kernel), nn.Parameter(bias)
        if section["activation"] == "linear":
            return convolution
        return nn.Sequential(convolution, nn.LeakyReLU(LEAKY_SLOPE, inplace=True))

    @staticmethod
    def _sources(section: dict[str, str], position: int) -> list[int]:
        indexes = (int(text) for text in section["layers"].split(","))
        return [index if index >= 0 else position + index for index in indexes]

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        heads: list[Tensor] = []
        for position, (section, layer) in enumerate(zip(self.sections, self.layers, strict=True)):
            if section["section"] == "route":
                x = torch.cat([outputs[index] for index in self._sources(section, position)], 1)
                if "groups" in section:
                    x = x.chunk(int(section["groups"]), 1)[int(section.get("group_id", 0))]
            elif section["section"] == "yolo":
                heads.append(layer(x.float()))  # boxes need more digits than bfloat16 has
            else:
                x = layer(x)
            outputs.append(x)
        return torch.cat(heads, 1)
