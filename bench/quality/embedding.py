"""The embedding on pictures that no training saw: ``training/encoder_report.py``, run in the models' environment.

Photos are parted by their own labels into train and validation; products of the rooms by the hash of their ids into
train and test. On both nothing is learned, but of the photos' validation split some constants of training were chosen.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import numpy as np

from bench.quality.figure import Figure, Given
from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT

LEAST_VOTES = 0.92
#: Task → the split that its questions are from.
SPLITS = {"browse": "validation", "type": "test", "together": "test", "exact": "both"}
#: One picture in so many, for a quick look.
EVERY = 12


def figures(given: Given) -> list[Figure]:
    """Recall@10 of each task, and kNN-10 of ``browse``, by embedding. Raises MissingData and CalledProcessError."""
    return rows_of(_report(given))


def rows_of(report: dict[str, Any]) -> list[Figure]:
    """What the report's JSON says, and beside it what is wanted.

    The unified embedding and the shipped one are to have a kNN-10 of :data:`LEAST_VOTES`, and nowhere less than a head
    for that task alone.
    """
    embeddings: dict[str, dict[str, list[float]]] = report["embeddings"]
    rows: list[Figure] = []
    for measured in embeddings["trunk"]:
        task, measure = measured.split(" ", 1)
        alone = embeddings[f"{task} alone"][measured]
        over = f"{report['questions'][task]} questions"
        names = {"trunk": "trunk", "specialised": f"{task} alone", "unified": "unified", "shipped": "shipped"}
        for name, key in names.items():
            goal = None
            if name in ("unified", "shipped") and "bits" not in measure:
                wanted = LEAST_VOTES if measure == "kNN-10" else 0.0
                goal = max(wanted, round(float(np.mean(alone)), 4))
            values = tuple(embeddings[key][measured])
            rows.append(Figure("embedding", f"{task}: {measure}, {name}", SPLITS[task], values, over, goal))
    return rows


def _report(given: Given) -> dict[str, Any]:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"no {python}: run `make setup`")
    command = [str(python), "-m", "training.encoder_report", "--json", "--seeds", str(given.seeds)]
    command += ["--photos", str(given.folder("photos")), "--rooms", str(given.folder("rooms"))]
    command += ["--every", str(EVERY)] if given.quick else []
    # Progress comes on standard error, as it is.
    weights = {"PINSTREAM_WEIGHTS": str(given.triton.home / "weights")}
    done = subprocess.run(command, cwd=PROJECT, env=os.environ | weights, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)
