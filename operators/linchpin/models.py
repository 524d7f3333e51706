"""Models that come from files: decision forests and layers of a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.linchpin.kernels import dense, trees

ACTIVATIONS = ("none", "relu", "tanh", "sigmoid")


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees behind one another: all arrays ``(nodes,)``, ``roots`` ``(trees,)``; ``feature`` is -1 at a leaf."""

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float64]
    roots: NDArray[np.int32]
    base: float

    @classmethod
    def of(cls, parts: Sequence[Mapping[str, Any]], *, base: float = 0.0, rate: float = 1.0) -> Forest:
        """From trees as scikit-learn keeps them in ``estimator.tree_``.

        Each has ``children_left``, ``children_right``, ``feature``, ``threshold`` and ``value`` (of any shape that
        has one number a node), and may have ``missing_go_to_left``; a node whose left child is -1 is a leaf. A row
        goes left where its feature is at most the threshold. The answer is ``base + rate · Σ value``.

        Raises:
            ValueError: arrays that do not fit together, or a child that does not come after its parent.
        """
        columns: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ("feature", "threshold", "left", "right", "missing", "value")
        }
        roots: list[int] = []
        start = 0
        for number, tree in enumerate(parts):
            left, right = (np.asarray(tree[f"children_{side}"], np.int64) for side in ("left", "right"))
            feature = np.asarray(tree["feature"], np.int64)
            n = len(left)
            threshold, value = (np.asarray(tree[name], np.float64).reshape(-1) for name in ("threshold", "value"))
            missing = np.asarray(tree.get("missing_go_to_left", np.zeros(n)), np.bool_)
            if not n or not all(each.shape == (n,) for each in (left, right, feature, threshold, value, missing)):
                raise ValueError(f"tree {number}: its arrays have different lengths")
            inner, rows = left >= 0, np.arange(n)
            after = (left > rows) & (right > rows) & (left < n) & (right < n) & (feature >= 0)
            if not np.all(after[inner]):
                raise ValueError(
                    f"tree {number}: children come after their parent and exist, and features count from 0"
                )
            if not (np.isfinite(value).all() and np.isfinite(threshold[inner]).all()):
                raise ValueError(f"tree {number}: values and thresholds are finite")
            columns["feature"].append(np.where(inner, feature, -1))
            columns["threshold"].append(np.where(inner, threshold, 0))
            columns["left"].append(left + start)
            columns["right"].append(right + start)
            columns["missing"].append(missing)
            columns["value"].append(value * rate)
            roots.append(start)
            start += n
        if not roots:
            raise ValueError("a forest has one tree at least")
        whole = {name: np.concatenate(each) for name, each in columns.items()}
        return cls(
            whole["feature"].astype(np.int32), whole["threshold"], whole["left"].astype(np.int32),
            whole["right"].astype(np.int32), whole["missing"], whole["value"], np.array(roots, np.int32), float(base),
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Forest:
        """From JSON ``{"base": …, "rate": …, "trees": [{…}, …]}``, each tree as :meth:`of` takes it."""
        try:
            found = json.loads(data)
            return cls.of(found["trees"], base=float(found.get("base", 0.0)), rate=float(found.get("rate", 1.0)))
        except Exception as wrong:
            raise ValueError(f'not a forest {{"trees": […]}}: {wrong!r}') from wrong

    @property
    def width(self) -> int:
        """Numbers of a row that the forest looks at, at least."""
        return int(self.feature.max(initial=-1)) + 1

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """``(n, width)`` → ``(n,)``."""
        return trees(
            x, self.feature, self.threshold, self.left, self.right, self.missing_left, self.value, self.roots, self.base
        )


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """A network: weights ``(in, out)``, biases ``(out,)`` and activations, layer by layer."""

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    activations: tuple[str, ...]

    @classmethod
    def of(cls, layers: Sequence[Mapping[str, Any]]) -> Layers:
        """From ``{"weight": (in, out), "bias": (out,), "activation": …}``; bias 0 and ``none`` when left out.

        Raises:
            ValueError: layers that do not fit together.
        """
        weights, biases, activations = list[NDArray[np.float32]](), list[NDArray[np.float32]](), list[str]()
        for number, layer in enumerate(layers):
            weight = np.ascontiguousarray(layer["weight"], np.float32)
            if weight.ndim != 2 or not weight.size:
                raise ValueError(f"layer {number}: weight has a row for each input, a column for each output")
            bias = np.ascontiguousarray(layer.get("bias", np.zeros(weight.shape[1])), np.float32)
            activation = layer.get("activation", "none")
            if activation not in ACTIVATIONS:
                raise ValueError(f"layer {number}: activation is one of {', '.join(ACTIVATIONS)}")
            if bias.shape != weight.shape[1:] or (weights and len(weight) != weights[-1].shape[1]):
                raise ValueError(f"layer {number}: its numbers of inputs and outputs do not fit")
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ValueError(f"layer {number}: weights are finite")
            weights.append(weight)
            biases.append(bias)
            activations.append(activation)
        if not weights:
            raise ValueError("a network has one layer at least")
        return cls(tuple(weights), tuple(biases), tuple(activations))

    @classmethod
    def decode(cls, data: bytes) -> Layers:
        """From JSON ``{"layers": [{…}, …]}``, each as :meth:`of` takes it."""
        try:
            return cls.of(json.loads(data)["layers"])
        except Exception as wrong:
            raise ValueError(f'not a network {{"layers": […]}}: {wrong!r}') from wrong

    @property
    def width(self) -> tuple[int, int]:
        """Numbers in and out."""
        return len(self.weights[0]), self.weights[-1].shape[1]

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(n, in)`` → ``(n, out)``."""
        for weight, bias, activation in zip(self.weights, self.biases, self.activations, strict=True):
            x = dense(x, weight, bias)
            if activation == "relu":
                x = np.maximum(x, np.float32(0))
            elif activation == "tanh":
                x = np.tanh(x)
            elif activation == "sigmoid":
                x = sigmoid(x)
        return x


def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """``1 / (1 + e**-x)`` of any shape."""
    return 1 / (1 + np.exp(-x))
