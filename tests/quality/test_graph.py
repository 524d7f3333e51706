"""Pixie on real saves: early stop against whole walks, and what walks find against boards in common.

The saves are those of ``saves/`` (each pinner is a board): the graph has the training pairs, the queries are pinners of
the test pairs, ten of whose training pins are asked with. Their saves of the test pairs are what should be found.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from operators.graph.live import LiveGraph
from operators.graph.pixie import Walking

pytestmark = pytest.mark.data

QUERIES, SEEDS, TOP, DEPTH = 150, 10, 100, 400
WHOLE = Walking(steps=100_000)
#: Chosen on pins of the training pairs alone (``docs/graph.md``).
EARLY = Walking(steps=100_000, many=100, visits=50)


def pairs(file: Path) -> dict[int, np.ndarray]:
    rows = (np.array(line.split(), np.int64) + 1 for line in file.read_text().splitlines())
    return {int(row[0]): row[1:] for row in rows if len(row) > 1}


@pytest.fixture(scope="module")
def saves(shared_data: Path) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    return pairs(shared_data / "saves" / "train.txt"), pairs(shared_data / "saves" / "test.txt")


@pytest.fixture(scope="module")
def graph(saves: tuple[dict[int, np.ndarray], dict[int, np.ndarray]]) -> LiveGraph:
    made = LiveGraph()
    for board, pins in saves[0].items():
        made.add(pins, np.full(len(pins), board))
    made.compact()
    assert len(made) == 790_006
    return made


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_early_stop_keeps_four_fifths_of_the_top_at_half_the_steps(graph: LiveGraph, saves, seed: int) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    pins = random.choice(np.unique(np.concatenate(list(saves[1].values()))), 60, replace=False)
    kept: dict[str, list[float]] = {"same seed": [], "other seed": [], "whole, other seed": []}
    steps = 0
    for pin in pins:
        query = (np.array([pin]), np.ones(1), TOP)
        whole, early = graph.walk(*query, seed, WHOLE), graph.walk(*query, seed, EARLY)
        best = set(whole.pins.tolist())
        kept["same seed"].append(len(best.intersection(early.pins.tolist())) / TOP)
        kept["other seed"].append(len(best.intersection(graph.walk(*query, seed + 9, EARLY).pins.tolist())) / TOP)
        kept["whole, other seed"].append(
            len(best.intersection(graph.walk(*query, seed + 9, WHOLE).pins.tolist())) / TOP
        )
        steps += int(early.steps.sum())
    share = steps / len(pins) / WHOLE.steps
    means = {name: round(float(np.mean(each)), 3) for name, each in kept.items()}
    print(f"\ntop {TOP} in common, {share:.2f} of the steps: {json.dumps(means)}")
    assert share <= 0.5 and np.mean(kept["same seed"]) >= 0.8


def test_walks_find_what_pinners_save_next(graph: LiveGraph, saves) -> None:  # type: ignore[no-untyped-def]
    train, test = saves
    random = np.random.default_rng(0)
    able = np.array([pinner for pinner in test if len(train.get(pinner, ())) >= SEEDS])
    popular = np.argsort(-np.bincount(np.concatenate(list(train.values()))), kind="stable")[:DEPTH]
    recall: dict[str, list[float]] = {"walks": [], "boards": [], "popular": []}
    for pinner in random.choice(able, QUERIES, replace=False).tolist():
        seeds, weights = train[pinner][-SEEDS:], np.ones(SEEDS)
        walks = graph.walk(seeds, weights, DEPTH + 300, pinner, Walking(steps=20_000, restart=0.8)).pins
        boards = graph.related(seeds, weights, DEPTH + 300).pins
        for name, found in (("walks", walks), ("boards", boards), ("popular", popular)):
            new = list(dict.fromkeys(pin for pin in found.tolist() if pin not in train[pinner]))[:DEPTH]
            recall[name].append(len(set(test[pinner].tolist()).intersection(new)) / len(test[pinner]))
    figures = {name: round(float(np.mean(each)), 4) for name, each in recall.items()}
    print(f"\nrecall@{DEPTH} of {QUERIES} pinners' next saves: {json.dumps(figures)}")
    assert figures["walks"] > 1.3 * figures["popular"], figures
