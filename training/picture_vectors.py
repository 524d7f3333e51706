"""Vectors of picture files by a version of the encoder, as Triton serves it, without Triton: for evaluations.

python -m training.picture_vectors LIST --out vectors.npy          # LIST: a picture's path a line; models' environment
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch

from training.encoder_views import MODEL, network, served

AT_ONCE = 16


def vectors_of(pictures: list[Path], version: int) -> np.ndarray:
    """``(n, d)`` float32, L2-normalised."""
    net, folder = network(version), MODEL / str(version)
    taught = folder / "trunk.npz"
    weights = Path(os.environ["PINSTREAM_WEIGHTS"])
    trunk = net.Trunk(weights, "efficientnet-lite0", "cpu", taught if taught.exists() else None)
    head = net.Head.load(folder / "head.npz")
    parts: list[np.ndarray] = []
    with torch.inference_mode():
        for start in range(0, len(pictures), AT_ONCE):
            seen = np.stack([served(picture) for picture in pictures[start : start + AT_ONCE]])
            parts.append(head(trunk(seen)).numpy())
    return np.concatenate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, metavar="LIST")
    parser.add_argument("--version", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = vectors_of([Path(line) for line in given.pictures.read_text().splitlines()], given.version)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    np.save(given.out, found)


if __name__ == "__main__":
    main()
