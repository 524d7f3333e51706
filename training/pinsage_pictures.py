"""Vectors of the pictures that PinSage learns from, by the shipped encoder. Runs in ``.venv-models``.

    python -m training.pinsage_pictures PICTURES.txt --out vectors.npz

``PICTURES.txt`` names a picture a line. What ``--out`` has already is not computed again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from training.encoder import TRUNK, taught_trunk, weights_folder
from training.encoder_views import MODEL, network, served

#: Pictures between two writes.
AT_ONCE = 64
VERSION = 2


def vectors_of(pictures: list[Path], out: Path) -> None:
    """Write ``pictures`` (n,) and ``vectors`` (n, d) float32, L2-normalised, to ``out``, after what is there."""
    done: dict[str, np.ndarray] = {}
    if out.exists():
        with np.load(out) as stored:
            done = dict(zip(stored["pictures"].tolist(), stored["vectors"], strict=True))
    missing = [picture for picture in pictures if str(picture) not in done]
    if missing:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        module = network(VERSION)
        trunk = module.Trunk(weights_folder(), TRUNK, device, taught_trunk(VERSION))
        head = module.Head.load(MODEL / str(VERSION) / "head.npz").to(device)
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            with torch.inference_mode():
                found = head(trunk(np.stack([served(picture) for picture in some]))).float().cpu().numpy()
            done.update(zip(map(str, some), found, strict=True))
            _write(out, pictures, done)
            print(f"{start + len(some)} of {len(missing)} pictures", file=sys.stderr, flush=True)
    _write(out, pictures, done)


def _write(out: Path, pictures: list[Path], done: dict[str, np.ndarray]) -> None:
    there = [str(picture) for picture in pictures if str(picture) in done]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial.npz")
    np.savez(partial, pictures=np.array(there), vectors=np.array([done[name] for name in there], np.float32))
    partial.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="a file with the path of a picture a line")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    vectors_of([Path(line) for line in given.pictures.read_text().splitlines() if line], given.out)


if __name__ == "__main__":
    main()
