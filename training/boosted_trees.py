"""Gradient-boosted trees, one forest a head, and their way into serving: arrays that a Linchpin ``Forest`` scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier


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


def exported(model: HistGradientBoostingClassifier) -> dict[str, Any]:
    """``{"base", "rate", "trees"}`` as ``operators.linchpin.models.Forest`` takes it; its answer is the log-odds.

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
    return {"base": float(model._baseline_prediction.ravel()[0]), "rate": 1.0, "trees": trees}


def write(models: dict[str, HistGradientBoostingClassifier], folder: Path) -> list[Path]:
    """``<head>.forest.json`` for each head."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for head, model in models.items():
        paths.append(folder / f"{head}.forest.json")
        paths[-1].write_text(json.dumps(exported(model)))
    return paths


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
