"""Gradient-boosted trees, one forest a head, and their way into serving: arrays that a Linchpin ``Forest`` scores.

    python -m training.boosted_trees rows.npz --out FOLDER

Rows are the ranker's (``training.ranker_rows`` or ``pinstream train-ranker``), cut in time as there. What is
written is calibrated: ``Sigmoid(Forest(features){file=@"save.forest.json"})`` is a probability without a model server.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from training.calibration import auc, calibration_error, platt

#: As in ``training.ranker``: learned from, stopped and calibrated with, and the rest for the report.
TRAIN, CALIBRATE = 0.7, 0.8
HEADS = ("save", "closeup", "outbound_click", "hide")


def fit(
    features: NDArray[np.float32],
    happened: NDArray[np.bool_],
    later: tuple[NDArray[np.float32], NDArray[np.bool_]],
    seed: int = 0,
    weights: NDArray[np.float64] | None = None,
) -> HistGradientBoostingClassifier:
    """A forest for one head; ``later`` rows say when to stop.

    Raises:
        ValueError: the head never, or always, happened.
    """
    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=300, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=5.0,
        max_features=0.5, early_stopping=True, n_iter_no_change=15, random_state=seed,
    )  # fmt: skip
    return model.fit(features, happened, sample_weight=weights, X_val=later[0], y_val=later[1])


def exported(model: HistGradientBoostingClassifier, slope: float = 1.0, shift: float = 0.0) -> dict[str, Any]:
    """``{"base", "rate", "trees"}`` as ``operators.linchpin.models.Forest`` takes it; its answer is the log-odds.

    ``slope`` and ``shift`` are the calibration of a head (``training.calibration.platt``).

    Raises:
        ValueError: a tree that splits by categories, which a Forest cannot.
    """
    trees: list[dict[str, list[Any]]] = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        if nodes["is_categorical"].any():
            raise ValueError("a tree splits by categories: a Forest compares numbers")
        leaf = nodes["is_leaf"].astype(bool)
        order, place = _parents_first(nodes)
        child = {side: np.where(leaf, -1, place[nodes[side]])[order] for side in ("left", "right")}
        trees.append(
            {
                "children_left": child["left"].tolist(),
                "children_right": child["right"].tolist(),
                "feature": np.where(leaf, 0, nodes["feature_idx"])[order].tolist(),
                # The last bin has no end: everything goes left.
                "threshold": np.where(leaf, 0.0, np.clip(nodes["num_threshold"], -1e300, 1e300))[order].tolist(),
                "value": np.where(leaf, nodes["value"], 0.0)[order].tolist(),
                "missing_go_to_left": nodes["missing_go_to_left"].astype(bool)[order].tolist(),
            }
        )
    return {"base": slope * float(model._baseline_prediction.ravel()[0]) + shift, "rate": slope, "trees": trees}


def learn(rows: dict[str, NDArray[Any]], out: Path, seed: int = 0) -> dict[str, dict[str, float]]:
    """Write ``<head>.forest.json`` for each head that happened, and say how good it is on the last fifth.

    As trees know no ``examination · σ``, what was not acted on counts as much as it was likely looked at.
    """
    n = len(rows["features"])
    cut, end = (int(np.searchsorted(rows["time"], rows["time"][int(n * share)])) for share in (TRAIN, CALIBRATE))
    features, examined = rows["features"].astype(np.float32), rows["examination"].astype(np.float64)
    out.mkdir(parents=True, exist_ok=True)
    told: dict[str, dict[str, float]] = {}
    for head, name in enumerate(HEADS):
        happened = rows["labels"][:, head].astype(bool)
        if not (happened[:cut].any() and happened[cut:end].any()):
            continue  # nothing to learn, or nothing to stop by
        weights = np.where(happened, 1.0, examined)
        later = slice(cut, end)
        model = fit(features[:cut], happened[:cut], (features[later], happened[later]), seed, weights[:cut])
        logits = model.decision_function(features)
        slope, shift = platt(logits[later], happened[later], examined[later])
        (out / f"{name}.forest.json").write_text(json.dumps(exported(model, slope, shift)))
        fitted, test = examined / (1 + np.exp(-(slope * logits + shift))), slice(end, n)
        raw = examined / (1 + np.exp(-logits))
        told[name] = {
            "positives": float(happened[test].sum()),
            "auc": auc(fitted[test], happened[test]),
            "ece": calibration_error(fitted[test], happened[test]),
            "ece_uncalibrated": calibration_error(raw[test], happened[test]),
        }
    return told


def _parents_first(nodes: NDArray[Any]) -> tuple[Sequence[int], NDArray[np.int64]]:
    """An order in which children come after their parent, and where each node stands in it."""
    order, waiting = list[int](), [0]
    while waiting:
        at = waiting.pop()
        order.append(at)
        if not nodes["is_leaf"][at]:
            waiting += [int(nodes["right"][at]), int(nodes["left"][at])]
    place = np.zeros(len(nodes), np.int64)
    place[order] = np.arange(len(order))
    return order, place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the forests, beside the spec that names them"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with np.load(given.rows) as stored:
        rows = {name: stored[name] for name in stored.files}
    print(json.dumps({"forests": str(given.out), "test": learn(rows, given.out, given.seed)}, indent=2))


if __name__ == "__main__":
    main()
