"""Train version 2 of the detector, a Faster R-CNN, and decide which version serves. Runs in ``.venv-models``.

    python -m training.detector --boxes DATA/boxes [--photos PHOTOS] [--steps 420] [--minutes 45] [--json]
    python -m training.detector --boxes DATA/boxes --published fasterrcnn_mobilenet_v3_large_320_fpn [--file FILE]

The first trains on the train part of the boxes (and on what version 1 is sure of in PHOTOS); stopped or killed, the
same command goes on at its last checkpoint. The second takes torchvision's own weights, trained on COCO, as they are.
Both write `faster-rcnn.json` and the weights that it names below the home's `weights`, measure both versions on the
held-out boxes, and write down which is better: `pinstream up` starts Triton with that one (PINSTREAM_DETECTOR).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from streams.settings import Settings
from training import detector_scores
from training.checkpoints import OtherPlan, write
from training.detector_boxes import Marked, part, read, taught
from training.detector_loop import Learning, Plan, learn
from training.detector_scores import NAME, ap50_of, better, code, compare, digest, first

HELD_OUT = ("validation", "test")


def weights_folder() -> Path:
    """Where ``pinstream up`` puts weights, and where Triton looks for them."""
    return Path(os.environ.get("PINSTREAM_WEIGHTS") or Settings.load().home / "weights")


def say(line: str) -> None:
    """Progress; the outcome alone goes to standard output."""
    print(line, file=sys.stderr, flush=True)


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def begin(plan: Plan, data: list[Marked], weights: Path) -> Learning:
    """A training before its first step; the same seed gives the same network."""
    torch.manual_seed(plan.seed)
    return Learning(code(2, "network").lite0(plan.size, weights / "efficientnet-lite0.pth"), data, plan, device())


def train(given: argparse.Namespace, parts: dict[str, list[Marked]], weights: Path) -> dict[str, Any] | None:
    """The description of trained weights; None where time was up first."""
    data = parts["train"]
    teacher = first(weights, device())
    for folder in given.photos:
        data = data + taught(folder, teacher, detector_scores.served_size(), given.most, say)
    plan = Plan(given.steps, given.batch, given.size, given.seed, len(data))
    learning = begin(plan, data, weights)
    checkpoint = given.checkpoints / "checkpoint.pt"
    if given.fresh:
        checkpoint.unlink(missing_ok=True)
    if learning.resume(checkpoint):
        say(f"going on at step {learning.step} of {plan.steps}")
    say(f"{len(data)} photos, {sum(one.taught for one in data)} of them marked by version 1; {device()}")
    began, measured = time.monotonic(), [learning.step]

    def tell(step: int, losses: dict[str, float]) -> None:
        told = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
        say(f"step {step} of {plan.steps}, {time.monotonic() - began:.0f} s: {told}")
        if step - measured[-1] >= given.measure:
            measured.append(step)
            ap50 = ap50_of(learning.net, parts["validation"], plan.size, teacher.names, device())
            say(f"step {step}: AP50 {ap50:.4f} on {len(parts['validation'])} photos of the validation part")

    if not learn(learning, checkpoint, given.every, tell, lambda: time.monotonic() - began > 60 * given.minutes):
        return None
    partial = weights / f"{NAME}.new"
    write({name: value.cpu().contiguous() for name, value in learning.net.state_dict().items()}, partial)
    file = weights / f"{NAME}-{digest(partial)[:12]}.pt"
    partial.replace(file)
    trained = {"steps": plan.steps, "batch": plan.batch, "seed": plan.seed, "photos": plan.photos}
    return {"architecture": code(2, "network").LITE0, "file": file.name, "size": plan.size, "trained": trained}


def published(name: str, file: Path | None, weights: Path) -> dict[str, Any]:
    """The description of torchvision's own weights, copied as they are once they were seen to fit.

    Raises the network's ``WeightsUnusable`` where they do not, or are nowhere.
    """
    network = code(2, "network")
    home = Path(os.environ.get("TORCH_HOME") or Path.home() / ".cache" / "torch")
    own = network.PUBLISHED.get(name, "")
    source = file or home / "hub" / "checkpoints" / own
    if own and not source.exists():
        raise network.WeightsUnusable(f"{source} is missing: fetch https://download.pytorch.org/models/{own}")
    net = network.build(name, 0)
    network.load(net, source)
    kept = weights / f"{NAME}-{digest(source)[:12]}.pt"
    partial = kept.with_suffix(".partial")
    shutil.copyfile(source, partial)
    partial.replace(kept)
    return {"architecture": name, "file": kept.name, "size": net.transform.min_size[-1], "published": source.name}


def conclude(told: dict[str, Any], parts: dict[str, list[Marked]], weights: Path) -> dict[str, Any]:
    """Measure both versions, and write which serves."""
    told = {**told, "sha256": digest(weights / told["file"]), "serve": 1}
    detector_scores.describe(weights, told)
    held_out = {name: parts[name] for name in HELD_OUT}
    measured = compare(weights, held_out, device())
    told |= {"photos": {name: len(data) for name, data in held_out.items()}, "measured": measured}
    told["serve"] = better(measured)
    detector_scores.describe(weights, told)
    return told


def table(told: dict[str, Any]) -> str:
    """What was measured, for people."""
    lines = [f"{'':12}{'version 1':>12}{'version 2':>12}"]
    for name in told["measured"]["1"]:
        row = [told["measured"][version][name] for version in ("1", "2")]
        lines.append(f"{name:12}" + "".join(f"{each['ap50']:12.4f}" for each in row) + "   AP50")
    row = [told["measured"][version]["held out"]["ms"] for version in ("1", "2")]
    lines.append(f"{'':12}{row[0]:12.1f}{row[1]:12.1f}   ms a photo")
    lines.append(f"version {told['serve']} is to serve; `pinstream down && pinstream up` starts Triton with it")
    return "\n".join(lines)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=Path, required=True, help="a folder with images/ and labels/ (YOLO's lines)")
    parser.add_argument("--photos", type=Path, action="append", default=[], help="photos that version 1 marks")
    parser.add_argument("--most", type=int, default=500, help="of each folder of photos; default 500")
    parser.add_argument("--steps", type=int, default=420)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=320, help="pixels a side that the network works at; default 320")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=10, help="steps between checkpoints; default 10")
    parser.add_argument("--measure", type=int, default=100, help="steps between measurements of AP50; default 100")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many; go on another time")
    parser.add_argument("--threads", type=int, default=0, help="of torch; default as many as it likes")
    parser.add_argument("--fresh", action="store_true", help="forget the checkpoint")
    parser.add_argument("--checkpoints", type=Path, default=Settings.load().home / "training" / "detector")
    parser.add_argument("--published", metavar="NAME", help="take torchvision's weights of this network instead")
    parser.add_argument("--file", type=Path, help="where they are; default $TORCH_HOME/hub/checkpoints")
    parser.add_argument("--json", action="store_true", help="print what faster-rcnn.json has")
    return parser


def main() -> None:
    given = arguments().parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    weights = weights_folder()
    try:
        marked = read(given.boxes)
        parts = {name: [one for one in marked if part(one.picture.name) == name] for name in ("train", *HELD_OUT)}
        if empty := [name for name, data in parts.items() if not data]:
            raise ValueError(f"too few photos in {given.boxes}: none for {' and '.join(empty)}")
        needed = ("yolov4-tiny.weights", "yolov4-tiny.cfg", "coco.names", "efficientnet-lite0.pth")
        if missing := [name for name in needed if not (weights / name).exists()]:
            raise ValueError(f"{weights / missing[0]} is missing: `pinstream up --install-only`")
        told = published(given.published, given.file, weights) if given.published else train(given, parts, weights)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on at the last checkpoint")
    except (ValueError, OSError, OtherPlan, FloatingPointError) as error:
        sys.exit(f"{error}")
    except Exception as error:
        if type(error).__name__ != "WeightsUnusable":  # of a module that is loaded by its path
            raise
        sys.exit(f"{error}")
    if told is None:
        print(json.dumps({"finished": False}) if given.json else "time is up; the same command goes on")
        return
    outcome = conclude(told, parts, weights)
    print(json.dumps(outcome) if given.json else table(outcome))


if __name__ == "__main__":
    main()
