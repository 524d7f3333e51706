"""Would the ranker be better if it saw the pinner's latest actions? The same rows, the same cuts, with and without.

    python -m training.ranker_sequence rows.npz --vectors vectors.npz [--seeds 3] [--actions 32] [--json]

Rows are those of ``training.ranker_rows --actions``. All networks learn the chance of an action if the pin is looked
at, as ``training.ranker`` does; some also read the latest actions, as ``training/sequence_net.py`` has it. Choose on
``validation``; ``test`` is for the report. Runs in ``.venv-models``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.calibration import auc, log_loss
from training.ranker import BATCH, CALIBRATE, DECAY, EPOCHS, PATIENCE, RATE, TRAIN
from training.ranker_net import HEADS
from training.sequence_net import Actions, SequenceNet

#: Numbers of a pin's vector that are kept: the main axes of all pins.
COMPRESSED = 16
#: Kinds of events as they are counted in ``operators.events``.
KINDS = 5

Rows = dict[str, NDArray[Any]]


def compressed(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(n, d)`` to ``(n, COMPRESSED)`` along the main axes, of length 1."""
    centred = vectors - vectors.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    short = centred @ axes[:COMPRESSED].T
    return (short / np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-6)).astype(np.float32)


def inputs(rows: Rows, pins: NDArray[np.int64], vectors: NDArray[np.float32], length: int) -> tuple[Any, Actions, Any]:
    """Candidates' vectors ``(n, d)``, the actions of each slate's moment, and each row's moment; unknown pins are 0."""
    table = np.concatenate([compressed(vectors), np.zeros((1, COMPRESSED), np.float32)])
    order = np.argsort(pins)

    def of(some: NDArray[np.int64]) -> torch.Tensor:
        at = np.minimum(np.searchsorted(pins, some, sorter=order), len(pins) - 1)
        return torch.from_numpy(table[np.where(pins[order[at]] == some, order[at], len(pins))])

    pin, kind, time = (rows[f"action_{name}"][:, :length] for name in ("pin", "kind", "time"))
    _, first = np.unique(rows["moment"], return_index=True)
    ages = np.where(pin != 0, np.maximum(rows["time"][first, None] - time, 0) / 1000, 0)
    actions = Actions(torch.from_numpy(np.where(pin != 0, kind, 0)), of(pin), torch.from_numpy(ages.astype(np.float32)))
    return of(rows["pin"]), actions, torch.from_numpy(rows["moment"])


def learned(rows: Rows, given: tuple[Any, Actions, Any], fusion: str, seed: int) -> dict[str, NDArray[np.float64]]:
    """Part → what the network expects of its rows, as they were looked at ``(n, 4)``."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    n = len(rows["features"])
    cut, end = (int(np.searchsorted(rows["time"], rows["time"][int(n * share)])) for share in (TRAIN, CALIBRATE))
    features, labels, examined = (
        torch.from_numpy(rows[name].astype(np.float32)) for name in ("features", "labels", "examination")
    )
    candidates, actions, moment = given
    net = SequenceNet(features.shape[1], COMPRESSED, KINDS, len(HEADS), fusion)
    net.mean.copy_(features[:cut].mean(0))
    net.scale.copy_(features[:cut].std(0).clamp_min(1e-3))
    with torch.no_grad():
        net.heads.bias.copy_(torch.logit((labels[:cut].sum(0) / examined[:cut].sum()).clamp(1e-4, 0.99)))

    def expected(some: Any, seen: Actions) -> torch.Tensor:
        logits = net(features[some], candidates[some], seen, moment[some])
        return (torch.sigmoid(logits) * examined[some, None]).clamp(1e-7, 1 - 1e-7)

    def whole(part: slice) -> torch.Tensor:
        net.eval()
        with torch.inference_mode():
            return torch.cat([expected(some, actions) for some in torch.arange(n)[part].split(1024)])

    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    best, best_state, waited = float("inf"), net.state_dict(), 0
    for _ in range(EPOCHS):
        net.train()
        for batch in torch.randperm(cut).split(BATCH):
            optimizer.zero_grad()
            p = expected(batch, actions.windowed())
            (-(labels[batch] * p.log() + (1 - labels[batch]) * (1 - p).log()).sum(1).mean()).backward()
            optimizer.step()
        p = whole(slice(cut, end))
        loss = float(-(labels[cut:end] * p.log() + (1 - labels[cut:end]) * (1 - p).log()).sum(1).mean())
        waited += 1
        if loss < best:
            best, waited = loss, 0
            best_state = {name: value.clone() for name, value in net.state_dict().items()}
        if waited == PATIENCE // 2:
            break
    net.load_state_dict(best_state)
    parts = {"validation": slice(cut, end), "test": slice(end, n)}
    return {name: whole(part).double().numpy() for name, part in parts.items()}


def compared(rows: Rows, given: tuple[Any, Actions, Any], seeds: int) -> dict[str, Any]:
    """Part → way → measures, one number a seed."""
    n = len(rows["features"])
    cut, end = (int(np.searchsorted(rows["time"], rows["time"][int(n * share)])) for share in (TRAIN, CALIBRATE))
    parts = {"validation": slice(cut, end), "test": slice(end, n)}
    told: dict[str, Any] = {part: {} for part in parts}
    for fusion in ("none", "append", "early"):
        for seed in range(1, seeds + 1):
            found = learned(rows, given, fusion, seed)
            for part, rows_of in parts.items():
                labels = rows["labels"][rows_of].astype(bool)
                of_part = told[part].setdefault(fusion, {})
                losses = [log_loss(found[part][:, head], labels[:, head]) for head in range(len(HEADS))]
                of_part.setdefault("log_loss", []).append(round(float(np.sum(losses)), 5))
                for head, name in enumerate(HEADS):
                    of_part.setdefault(f"auc {name}", []).append(round(auc(found[part][:, head], labels[:, head]), 4))
            print(f"{fusion}, seed {seed}: {told['validation'][fusion]['log_loss'][-1]}", file=sys.stderr, flush=True)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--vectors", type=Path, required=True, help="pin vectors by training.ranker_vectors")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--actions", type=int, default=32, help="how many of the latest actions are read (32)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    with np.load(options.rows) as stored:
        rows = {name: stored[name] for name in stored.files}
    if "moment" not in rows:
        parser.error(f"{options.rows} has no actions: make it with training.ranker_rows --actions")
    with np.load(options.vectors) as stored:
        given = inputs(rows, stored["pins"], stored["vectors"], options.actions)
    told = compared(rows, given, options.seeds)
    if options.json:
        print(json.dumps(told))
        return
    for part, ways in told.items():
        for way, measures in ways.items():
            cells = "  ".join(f"{name} {np.mean(of):.4f} ± {np.std(of):.4f}" for name, of in measures.items())
            print(f"{part:11}{way:7}{cells}")


if __name__ == "__main__":
    main()
