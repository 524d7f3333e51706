"""Teach the encoder's trunk: its later blocks on a CPU, the whole network on a GPU. Runs in ``.venv-models``.

    python -m training.encoder_trunk --photos DATA/photos [--lines TASKS.jsonl] [--from-block 8] [--passes 10]

What comes before ``--from-block`` stays as it is, and what it makes of each picture in every view is computed once and
kept (250 kB a picture from block 8 on); 0 teaches the whole network, which wants a GPU. Nothing general is to be
forgotten: the taught trunk has to tell as well what the untaught one's ImageNet classifier says of a picture. A run
that was stopped goes on after its last pass. Writes ``trunk.npz`` beside the version's code; then train the head anew,
as its features are others: ``python -m training.encoder``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training import encoder_tasks
from training.checkpoints import OtherPlan
from training.encoder import TRUNK, arguments, classifier, given_tasks, numbered, weights_folder, write_halves
from training.encoder_tasks import Task
from training.encoder_teaching import Maps, Plan, Teaching, before
from training.encoder_views import MODEL, PROJECT, features, network


def maps_of(net: Any, first: int, pictures: Sequence[Path], cache: Path, device: str) -> Maps:
    """Computed once for each picture and kept in ``cache``."""
    shape: tuple[int, ...] = ()

    @torch.inference_mode()
    def seen(images: np.ndarray) -> torch.Tensor:
        nonlocal shape
        # One at a time on a CPU: what the early blocks leave between layers then fits its cache.
        at_once = len(images) if device != "cpu" else 1
        parts = [before(net, first, images[at : at + at_once], device) for at in range(0, len(images), at_once)]
        shape = tuple(parts[0].shape[1:])
        return torch.cat(parts)

    seen(np.zeros((1, 224, 224, 3), np.uint8))
    return Maps(features(pictures, seen, cache), shape)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--from-block", type=int, help="the first that is taught; default 8, with a GPU 0")
    parser.add_argument("--passes", type=int, default=10, help="over the pictures; default 10")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    first = given.from_block if given.from_block is not None else 0 if device == "cuda" else 8
    tasks = given_tasks(given)
    tasks.append(encoder_tasks.exact(tasks))
    pictures = sorted({picture for task in tasks for picture in _taught(task)})
    row = {picture: at for at, picture in enumerate(pictures)}
    module = network(given.version)
    net = module.Trunk(weights_folder(), TRUNK, device).net.float()
    if not 0 <= first < len(net._blocks):
        sys.exit(f"--from-block is a number from 0 to {len(net._blocks) - 1}")
    rows = [(torch.tensor([row[picture] for picture in _taught(task)]), numbered(task)) for task in tasks]
    maps = maps_of(net, first, pictures, given.cache / f"before block {first}", device)
    learning = Teaching(module, net, maps, rows, classifier(), Plan(first, given.passes, given.seed), device)
    try:
        if learning.resume(checkpoint := given.cache / "trunk.pt"):
            print(f"going on after pass {learning.passes}", file=sys.stderr)
    except OtherPlan as other:
        sys.exit(str(other))
    while learning.passes < given.passes:
        loss = learning.one_pass()
        learning.save(checkpoint)
        print(f"pass {learning.passes} of {given.passes}: loss {loss:.3f}", file=sys.stderr, flush=True)
    path = write_halves(learning.taught(), MODEL / str(given.version) / "trunk.npz")
    checkpoint.unlink()
    print(
        json.dumps({"weights": str(path.relative_to(PROJECT)), "bytes": path.stat().st_size, "pictures": len(pictures)})
    )


def _taught(task: Task) -> list[Path]:
    return [picture for picture, held in zip(task.pictures, task.test.tolist(), strict=True) if not held]


if __name__ == "__main__":
    main()
