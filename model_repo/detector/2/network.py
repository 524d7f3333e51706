"""Faster R-CNN for the detector: our own on EfficientNet-lite0, and torchvision's published ones.

Source: Ren et al., "Faster R-CNN", 2015; Lin et al., "Feature pyramid networks for object detection", 2017. Which
network, which file and which labels are written in ``faster-rcnn.json`` by ``training/detector.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

LITE0 = "efficientnet_lite0_fpn"
#: What the trunk was trained on, (pixel - 127) / 128, for pixels in 0 … 1.
PIXEL_MEAN, PIXEL_SCALE = 127 / 255, 128 / 255
#: Blocks of the trunk whose maps go into the pyramid, at strides 8, 16 and 32, and the channels of each.
LEVELS = {4: 40, 10: 112, 15: 320}
PYRAMID, HEAD, POOLED = 96, 256, 7
#: One size of anchors for each level, the last of which is the third halved; pixels of the network's own size.
ANCHORS = ((32,), (64,), (128,), (256,))
ASPECTS = (0.5, 1.0, 2.0)
#: Below this a box is noise, and more boxes are of no use; as version 1 has it.
LEAST_SCORE, MOST_BOXES = 0.01, 100
#: Names of COCO's 80 classes; class 0 is the background.
CLASSES = 81
#: Numbers of COCO's 91 that no class has, the background's 0 among them: torchvision's networks have outputs for them.
UNUSED = {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83}

Objects = tuple[np.ndarray, np.ndarray, np.ndarray]


class WeightsUnusable(Exception):
    """The weights cannot be served, with what to do about it."""


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


class Pyramid(nn.Module):
    """``(n, 3, s, s)`` → four maps of :data:`PYRAMID` channels at strides 8, 16, 32 and 64, by name.

    Batches of detectors are too small for batch normalisation: the trunk's is folded into its convolutions.
    """

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        trunk = EfficientNet.from_name("efficientnet-lite0").eval()
        if weights is not None:
            trunk.load_state_dict(torch.load(weights, weights_only=True), strict=True)
        fold(trunk, "_conv_stem", "_bn0")
        for block in trunk._blocks:
            if hasattr(block, "_expand_conv"):
                fold(block, "_expand_conv", "_bn0")
            fold(block, "_depthwise_conv", "_bn1")
            fold(block, "_project_conv", "_bn2")
        self.stem = nn.Sequential(trunk._conv_stem, trunk._swish)
        self.blocks = trunk._blocks
        self.fpn = FeaturePyramidNetwork(list(LEVELS.values()), PYRAMID, extra_blocks=LastLevelMaxPool())
        self.out_channels = PYRAMID

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x, maps = self.stem(x), {}
        for place, block in enumerate(self.blocks):
            x = block(x)
            if place in LEVELS:
                maps[str(len(maps))] = x
        return self.fpn(maps)


def lite0(size: int, weights: Path | None = None) -> FasterRCNN:
    """Our network for squares of ``size`` pixels; ``weights`` are the trunk's own, for training to start from."""
    names = [str(level) for level in range(len(LEVELS))]
    return FasterRCNN(
        Pyramid(weights),
        min_size=size,
        max_size=size,
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_SCALE] * 3,
        rpn_anchor_generator=AnchorGenerator(ANCHORS, (ASPECTS,) * len(ANCHORS)),
        rpn_pre_nms_top_n_train=1000,
        rpn_post_nms_top_n_train=500,
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_test=150,
        box_roi_pool=MultiScaleRoIAlign(names, POOLED, sampling_ratio=2),
        box_head=TwoMLPHead(PYRAMID * POOLED**2, HEAD),
        box_predictor=FastRCNNPredictor(HEAD, CLASSES),
        box_batch_size_per_image=128,
        box_score_thresh=LEAST_SCORE,
        box_detections_per_img=MOST_BOXES,
    )


#: Networks of which torchvision publishes weights, trained on COCO; files of https://download.pytorch.org/models/.
PUBLISHED = {
    "fasterrcnn_mobilenet_v3_large_fpn": "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
}


def build(architecture: str, size: int) -> FasterRCNN:
    """An untrained network of a name. Raises :class:`WeightsUnusable` for a name that is not known."""
    if architecture == LITE0:
        return lite0(size)
    if architecture not in PUBLISHED:
        raise WeightsUnusable(f"no network is called {architecture!r}; known: {', '.join([LITE0, *PUBLISHED])}")
    network = frozen(getattr(detection, architecture)(weights=None, weights_backbone=None))
    network.roi_heads.score_thresh, network.roi_heads.detections_per_img = LEAST_SCORE, MOST_BOXES
    return network


def frozen(module: nn.Module) -> Any:
    """A network whose batch normalisations are as torchvision has them under its published weights."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, child.eps))
        else:
            frozen(child)
    return module


def labels(architecture: str, names: list[str]) -> list[str]:
    """The label of each output, empty for the background and for numbers that COCO does not use."""
    if architecture == LITE0:
        return ["", *names]
    rest = iter(names)
    return ["" if number in UNUSED else next(rest) for number in range(91)]


def as_objects(found: dict[str, Tensor], size: int, named: np.ndarray) -> Objects:
    """What a network found in a square of ``size`` pixels → boxes (k, 4) as fractions of it, scores, classes.

    Best first. Boxes are (left, top, right, bottom); ``named`` tells of each class whether it has a label.
    """
    classes = found["labels"].numpy()
    order = np.argsort(-found["scores"].numpy(), kind="stable")
    order = order[named[classes[order]]][:MOST_BOXES]
    boxes = (found["boxes"].float().numpy()[order] / size).clip(0, 1)
    return boxes.astype(np.float32), found["scores"].float().numpy()[order], classes[order]


class Detector:
    """A trained network and its names, on one device.

    Raises:
        WeightsUnusable: the description or the weights are missing, damaged, or of another network.
    """

    def __init__(self, weights: Path, name: str, device: str) -> None:
        told = describe(weights, name)
        net = build(told["architecture"], told["size"])
        load(net, weights / told["file"])
        self.names = labels(told["architecture"], (weights / "coco.names").read_text().split("\n")[:80])
        self._named = np.array([bool(label) for label in self.names])
        self.net = net.eval().requires_grad_(False).to(device)
        self.device = device
        self.half = device == "cpu" and fast_bf16()

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> list[Objects]:
        """(n, S, S, 3) uint8 → for each image boxes (k, 4), scores (k,) and class indexes (k,)."""
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float() / 255
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.half):
            found = self.net(list(pixels))
        size = images.shape[1]
        return [as_objects({key: each.cpu() for key, each in one.items()}, size, self._named) for one in found]


def describe(weights: Path, name: str) -> dict[str, Any]:
    """What ``NAME.json`` says of the weights. Raises :class:`WeightsUnusable`."""
    path = weights / f"{name}.json"
    try:
        told = json.loads(path.read_text())
        return {"architecture": str(told["architecture"]), "file": str(told["file"]), "size": int(told["size"])}
    except FileNotFoundError:
        raise WeightsUnusable(f"{path} is missing: train it with `python -m training.detector`") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsUnusable(f"{path} cannot be read ({error}); train again or remove it") from None


def load(net: nn.Module, file: Path) -> None:
    """The weights of a state dict, every one of which must fit. Raises :class:`WeightsUnusable`."""
    try:
        net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True), strict=True)
    except FileNotFoundError:
        raise WeightsUnusable(f"{file} is missing: train it with `python -m training.detector`") from None
    except Exception as error:  # a damaged archive raises what the archive's reader pleases
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsUnusable(f"{file} is damaged or of another network: {told}") from None
