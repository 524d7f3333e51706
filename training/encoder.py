"""Train the head of the unified embedding and write a version that Triton serves. Runs in ``.venv-models``.

    python -m training.encoder --photos DATA/photos [--lines TASKS.jsonl] --version 2

The trunk stays as it is: its features of each picture, in several views, are computed once and kept in a cache, and
the head is trained on them in a minute on a CPU. ``training.encoder_report`` measures what comes of it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training import encoder_tasks
from training.encoder_head import Classifier, Labelled, train
from training.encoder_tasks import Task
from training.encoder_views import MODEL, PROJECT, features, network

TRUNK = "efficientnet-lite0"
#: Views that teach: all but the last.
TAUGHT = slice(0, -1)


def weights_folder() -> Path:
    """Where ``pinstream up`` put the trunk's weights."""
    return Path(os.environ.get("PINSTREAM_WEIGHTS") or PROJECT / ".pinstream" / "weights")


def classifier() -> Classifier:
    """The trunk's own ImageNet classifier."""
    state = torch.load(weights_folder() / f"{TRUNK}.pth", weights_only=True)
    return Classifier(state["_fc.weight"], state["_fc.bias"])


def taught_trunk(version: int) -> Path | None:
    """What ``training/encoder_trunk.py`` made of the version's trunk; None where it is the registry's."""
    path = MODEL / str(version) / "trunk.npz"
    return path if path.exists() else None


def labelled(task: Task, views: np.ndarray) -> Labelled:
    """The part of a task that teaches."""
    rows = np.flatnonzero(~task.test)
    return Labelled(torch.from_numpy(views[TAUGHT, rows]), numbered(task))


def numbered(task: Task) -> Tensor:
    """The labels of the part that teaches, as numbers in the order of their names."""
    taught = [label for label, held in zip(task.labels, task.test.tolist(), strict=True) if not held]
    names = sorted(set(taught))
    return torch.tensor([names.index(label) for label in taught])


def views_of(tasks: Sequence[Task], version: int, cache: Path) -> list[np.ndarray]:
    """The features of each task's pictures, ``(views, n, features)``; tasks with the same pictures share them."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trunk = network(version).Trunk(weights_folder(), TRUNK, device, taught := taught_trunk(version))
    pictures = sorted({picture for task in tasks for picture in task.pictures})
    row = {picture: at for at, picture in enumerate(pictures)}
    views = features(pictures, trunk, cache / hashlib.sha256(taught.read_bytes()).hexdigest()[:20] if taught else cache)
    return [views[:, [row[picture] for picture in task.pictures]] for task in tasks]


def write_halves(weights: Mapping[str, Tensor], path: Path) -> Path:
    """An npz file of half precision; the same weights give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in weights.items():
            packed = io.BytesIO()
            np.save(packed, values.detach().cpu().numpy().astype(np.float16))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), packed.getvalue(), zipfile.ZIP_DEFLATED)
    return path


def given_tasks(given: argparse.Namespace) -> list[Task]:
    """The tasks that the command line names. Ends the program where a file cannot be read."""
    try:
        tasks = [task for folder in given.photos for task in encoder_tasks.photos(folder)]
        tasks += [task for file in given.lines for task in encoder_tasks.lines(file)]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"the pictures cannot be read: {error}")
    if not tasks:
        sys.exit("nothing to learn from: name a folder with --photos or a file with --lines")
    return tasks


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What this command and the report have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, action="append", default=[], help="a folder with labels.json")
    parser.add_argument("--lines", type=Path, action="append", default=[], help="a file of JSON lines")
    parser.add_argument("--version", type=int, default=2, help="of the encoder, whose network is used; default 2")
    parser.add_argument("--cache", type=Path, default=PROJECT / ".pinstream" / "training" / "encoder")
    return parser


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tasks = given_tasks(given)
    tasks.append(encoder_tasks.exact(tasks))
    teaching = [labelled(*each) for each in zip(tasks, views_of(tasks, given.version, given.cache), strict=True)]
    head = train(network(given.version), teaching, classifier(), given.seed).linear
    path = write_halves({"matrix": head.weight, "bias": head.bias}, MODEL / str(given.version) / "head.npz")
    counts = {task.name: int((~task.test).sum()) for task in tasks}
    print(json.dumps({"weights": str(path.relative_to(PROJECT)), "bytes": path.stat().st_size, "pictures": counts}))


if __name__ == "__main__":
    main()
