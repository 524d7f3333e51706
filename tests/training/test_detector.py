"""The detector's second version in the models' environment: equal to torchvision, published weights, and bad files."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT

BEGIN = """
import json, math, tempfile, numpy as np, torch, torchvision
from pathlib import Path
from torchvision.models import detection
from training.detector_scores import code, describe, digest
torch.set_num_threads(1)
torch.manual_seed(0)
network = code(2, "network")
draw = np.random.default_rng(0)
"""

EQUAL = """
first = code(1, "model")
equal = {"first": [], "as_objects": [], "pooled": 0.0}
def boxes(count, size):
    low = draw.uniform(0, size * 0.8, (count, 2))
    return np.concatenate([low, low + draw.uniform(size * 0.02, size * 0.5, (count, 2))], 1).astype(np.float32)
for count in (0, 1, 2, 10, 300):
    some, scores, classes = boxes(count, 1), draw.uniform(0, 1, count).astype(np.float32), draw.integers(0, 5, count)
    order = np.argsort(-scores, kind="stable")
    ours = order[first.suppress(some[order], classes[order])]
    theirs = torchvision.ops.batched_nms(*map(torch.from_numpy, (some, scores, classes)), first.OVERLAP)
    equal["first"].append(ours.tolist() == theirs.tolist())
    named = np.array([False, True, True, False, True])
    raw = dict(zip(("boxes", "scores", "labels"), map(torch.from_numpy, (boxes(count, 440) - 20, scores, classes))))
    got, its, kinds = network.as_objects(raw, 400, named)
    keep = [at for at in order.tolist() if named[classes[at]]][:100]
    want = torchvision.ops.clip_boxes_to_image(raw["boxes"], (400, 400)).numpy()[keep] / 400
    same = np.allclose(got, want, atol=1e-6) and its.tolist() == scores[keep].tolist()
    equal["as_objects"].append(bool(same and kinds.tolist() == classes[keep].tolist()))
net = network.lite0(160).eval()
maps = {str(at): torch.randn(1, network.PYRAMID, 160 >> 3 + at, 160 >> 3 + at) for at in range(4)}
regions = torch.from_numpy(boxes(60, 100))
pooled = net.roi_heads.box_roi_pool(maps, [regions], [(160, 160)])
areas = torchvision.ops.box_area(regions)
for at, area in enumerate(areas.tolist()):
    level = min(max(math.floor(4 + math.log2(math.sqrt(area) / 224) + 1e-6), 3), 6) - 3
    alone = torchvision.ops.roi_align(maps[str(level)], [regions[at:at + 1]], network.POOLED, 1 / (8 << level), 2)
    equal["pooled"] = max(equal["pooled"], (alone[0] - pooled[at]).abs().max().item())
"""

SERVED = """
def serve(architecture, net, size):
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder)
        (weights / "coco.names").write_text("\\n".join(f"label {at}" for at in range(80)))
        torch.save(net.state_dict(), weights / "w.pt")
        describe(weights, {"architecture": architecture, "file": "w.pt", "size": size})
        detector = network.Detector(weights, "faster-rcnn", "cpu")
    images = draw.integers(0, 255, (2, 160, 160, 3), dtype=np.uint8)
    net.roi_heads.score_thresh, net.roi_heads.detections_per_img = network.LEAST_SCORE, network.MOST_BOXES
    with torch.inference_mode():
        theirs = net.eval()([torch.from_numpy(image).permute(2, 0, 1) / 255 for image in images])
    rows = []
    for (boxes, scores, kinds), want in zip(detector(images), theirs):
        real = torch.tensor([bool(detector.names[at]) for at in want["labels"]], dtype=torch.bool)
        rows.append({
            "found": len(scores), "labels": sorted({detector.names[at] for at in kinds}),
            "boxes": float(np.abs(boxes * 160 - want["boxes"][real].numpy()).max()),
            "scores": float(np.abs(scores - want["scores"][real].numpy()).max()),
            "classes": kinds.tolist() == want["labels"][real].tolist(),
        })
    return rows, detector.names
equal["served"], _ = serve(network.LITE0, network.lite0(160), 160)
"""

PUBLISHED = """
from torchvision.models._meta import _COCO_CATEGORIES
published = {}
for name in network.PUBLISHED:
    net = getattr(detection, name)(weights=None, weights_backbone=None, min_size=160, max_size=160)
    with torch.no_grad():  # as trained networks are: unlike each other, and with means and variances of their own
        for each in net.modules():
            if isinstance(each, torch.nn.BatchNorm2d):
                each.running_mean.uniform_(-0.1, 0.1); each.running_var.uniform_(0.8, 1.2)
        net.rpn.head.cls_logits.bias += 3
        net.roi_heads.box_predictor.cls_score.weight *= 30
    real = network.build
    def small(architecture, size):
        built = real(architecture, size)
        built.transform.min_size, built.transform.max_size = (160,), 160  # the whole size costs a test seconds
        return built
    network.build = small
    rows, names = serve(name, net, 160)
    network.build = real
    known = ["" if each in ("N/A", "__background__") else each for each in _COCO_CATEGORIES]
    places = [bool(each) for each in known] == [bool(each) for each in names]
    fixed = real(name, 0).transform
    published[name] = {"rows": rows, "places": places, "size": [fixed.min_size[-1], fixed.max_size]}
"""

BAD = """
def told(make):
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder)
        (weights / "coco.names").write_text("label")
        make(weights)
        try:
            network.Detector(weights, "faster-rcnn", "cpu")
        except network.WeightsUnusable as error:
            return str(error).replace(folder, "HOME")
def described(weights, **other):
    describe(weights, {"architecture": network.LITE0, "file": "w.pt", "size": 160, **other})
def damaged(weights):
    described(weights)
    torch.save(network.lite0(160).state_dict(), weights / "w.pt")
    (weights / "w.pt").write_bytes((weights / "w.pt").read_bytes()[:-5000])
def another(weights):
    described(weights)
    torch.save(torch.nn.Linear(2, 2).state_dict(), weights / "w.pt")
bad = {
    "nothing": told(lambda weights: None),
    "no weights": told(described),
    "no json": told(lambda weights: (weights / "faster-rcnn.json").write_text("{")),
    "unknown": told(lambda weights: described(weights, architecture="yolo")),
    "damaged": told(damaged),
    "another": told(another),
}
print(json.dumps({"equal": equal, "published": published, "bad": bad}))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Everything in one process: importing torch takes longer than all of it."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the models' environment is missing: make setup")
    script = BEGIN + EQUAL + SERVED + PUBLISHED + BAD
    done = subprocess.run([python, "-c", script], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(900)  # seconds of work; a busy machine takes many times that
def test_boxes_are_suppressed_pooled_and_given_as_torchvision_does(found: dict[str, Any]) -> None:
    equal = found["equal"]
    assert all(equal["first"]) and all(equal["as_objects"])
    assert equal["pooled"] < 1e-5
    for row in equal["served"]:
        assert row["found"] == 100 and row["classes"]
        assert row["boxes"] < 1e-3 and row["scores"] < 1e-6, "pixels of 160; and the order of torchvision"


def test_published_weights_load_unchanged_and_find_the_same(found: dict[str, Any]) -> None:
    published = found["published"]
    assert published["fasterrcnn_mobilenet_v3_large_320_fpn"]["size"] == [320, 640]
    assert published["fasterrcnn_mobilenet_v3_large_fpn"]["size"] == [800, 1333]
    for each in published.values():
        assert each["places"], "the names are at the numbers that COCO has for them"
        for row in each["rows"]:
            assert row["found"] > 0 and row["classes"] and "" not in row["labels"]
            assert row["boxes"] < 1e-2 and row["scores"] < 1e-4


def test_weights_that_cannot_serve_say_what_to_do(found: dict[str, Any]) -> None:
    bad = found["bad"]
    assert "faster-rcnn.json is missing" in bad["nothing"] and "training.detector" in bad["nothing"]
    assert "w.pt is missing" in bad["no weights"] and "cannot be read" in bad["no json"]
    assert "'yolo'" in bad["unknown"] and "efficientnet_lite0_fpn" in bad["unknown"]
    assert all("w.pt is damaged or of another network" in bad[which] for which in ("damaged", "another"))
