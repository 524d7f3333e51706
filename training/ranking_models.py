"""Every model of ranking over the same rows: what each expects, before and after calibration.

    python -m training.ranking_models rows.npz --out expected.npz --model NAME [--seed N]

Rows are those of ``bench.quality.impressions``. Each model learns on ``train``, stops and is calibrated (Platt, a head
at a time) on ``validation``, and never sees ``test``. Runs in ``.venv-models``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from training.boosted_trees import fit
from training.calibration import platt
from training.sequence_net import Actions, SequenceNet

Rows = dict[str, NDArray[Any]]
EPOCHS, PATIENCE, BATCH, RATE, DECAY, VECTOR = 6, 2, 256, 2e-3, 1e-3, 32
#: Actions of a pinner that are read here: these pinners did 88 things in all, and time is what a contest costs.
LENGTH = 20


def logistic(rows: Rows, seed: int) -> NDArray[np.float64]:
    """Logits ``(m, H)`` of a straight line a head."""
    scaled = StandardScaler().fit(rows["features"][rows["train"]])
    table = np.clip(scaled.transform(rows["features"]), -5, 5)
    logits = np.zeros(rows["labels"].shape)
    for head in range(logits.shape[1]):
        learned = _asked(rows, "train", head)
        model = LogisticRegression(C=0.05, max_iter=500)
        model.fit(table[learned], rows["labels"][learned, head], sample_weight=_weights(rows, learned))
        logits[:, head] = model.decision_function(table)
    return logits


def trees(rows: Rows, seed: int) -> NDArray[np.float64]:
    """Logits of boosted trees a head."""
    features, logits = rows["features"], np.zeros(rows["labels"].shape)
    for head in range(logits.shape[1]):
        learned, later = _asked(rows, "train", head), _asked(rows, "validation", head)
        stop = features[later], rows["labels"][later, head]
        model = fit(features[learned], rows["labels"][learned, head], stop, seed, _weights(rows, learned))
        logits[:, head] = model.decision_function(features)
    return logits


def network(fusion: str, masked: bool = False) -> Callable[[Rows, int], NDArray[np.float64]]:
    """Logits of the multi-head network with a way of reading the pinner's actions."""

    def learn(rows: Rows, seed: int) -> NDArray[np.float64]:
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        table = torch.from_numpy(rows["features"])
        labels, asked = (torch.from_numpy(rows[name].astype(np.float32)) for name in ("labels", "asked"))
        weights = torch.from_numpy(_weights(rows, np.arange(len(table))).astype(np.float32))
        candidates, actions, moment = sequences(rows)
        learned, later = (torch.from_numpy(rows[name]) for name in ("train", "validation"))
        net = SequenceNet(table.shape[1], candidates.shape[1], 4, labels.shape[1], fusion)
        net.mean.copy_(table[learned].mean(0))
        net.scale.copy_(table[learned].std(0).clamp_min(1e-3))
        rates = (labels * asked)[learned].sum(0) / asked[learned].sum(0)
        with torch.no_grad():
            net.heads.bias.copy_(torch.logit(rates.clamp(1e-4, 0.99)))

        def loss_of(some: torch.Tensor, seen: Actions) -> torch.Tensor:
            logits = net(table[some], candidates[some], seen, moment[some])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[some], reduction="none")
            # A head is as strong as its rows are many, so that a rare one is heard.
            return ((loss * asked[some] * weights[some, None]).sum(0) / asked[some].sum(0).clamp_min(1)).sum()

        def everything(some: torch.Tensor) -> torch.Tensor:
            net.eval()
            with torch.inference_mode():
                parts = [net(table[one], candidates[one], actions, moment[one]) for one in some.split(1024)]
            return torch.cat(parts)

        optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
        best, best_state, waited = float("inf"), net.state_dict(), 0
        for _ in range(EPOCHS):
            net.train()
            for batch in _batches(learned, moment if fusion == "append" else None):
                optimizer.zero_grad()
                seen = actions.windowed() if masked and fusion != "none" else actions
                loss_of(batch, seen).backward()
                optimizer.step()
            loss = _log_loss(everything(later), labels[later], asked[later])
            waited += 1
            if loss < best:
                best, waited = loss, 0
                best_state = {name: value.clone() for name, value in net.state_dict().items()}
            if waited == PATIENCE:
                break
        net.load_state_dict(best_state)
        return everything(torch.arange(len(table))).double().numpy()

    return learn


MODELS: dict[str, Callable[[Rows, int], NDArray[np.float64]]] = {
    "logistic": logistic,
    "trees": trees,
    "network": network("none"),
    "network, actions appended": network("append"),
    "network, actions beside the candidate": network("early"),
    "network, actions beside the candidate, the last hours hidden": network("early", masked=True),
}


def sequences(rows: Rows) -> tuple[torch.Tensor, Actions, torch.Tensor]:
    """Vectors of the rows' pins, the actions before each distinct moment, and the moment of each row."""
    if "latest" not in rows:
        nobody = Actions(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, VECTOR), torch.zeros(1, 1))
        return torch.zeros(len(rows["features"]), VECTOR), nobody, torch.zeros(len(rows["features"]), dtype=torch.long)
    latest, times = rows["latest"][:, :LENGTH], rows["times"]
    _, first, moment = np.unique(
        np.concatenate([latest[:, :2], times[:, None]], 1), axis=0, return_index=True, return_inverse=True
    )
    some, here = latest[first], latest[first] >= 0
    events = rows["events"][np.maximum(some, 0)]
    kinds = np.where(here, events[..., 2] + 1, 0)
    ages = np.where(here, times[first, None] - events[..., 3], 0)
    actions = Actions(torch.from_numpy(kinds), vectors_of(events[..., :2]), torch.from_numpy(ages.astype(np.float32)))
    return vectors_of(rows["pins"]), actions, torch.from_numpy(moment.reshape(-1))


def vectors_of(pins: NDArray[np.int64]) -> torch.Tensor:
    """``(…, 2)`` category and item → ``(…, VECTOR)``: drawn once for each, so alike only where these are the same."""
    parts: list[NDArray[np.float32]] = []
    for at in range(2):
        drawn = np.random.default_rng(at).normal(size=(int(pins[..., at].max(initial=0)) + 1, VECTOR // 2))
        parts.append((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)[pins[..., at]])
    return torch.from_numpy(np.concatenate(parts, -1))


def calibrated(rows: Rows, logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities ``(m, H)`` as they come, and after each head's logits were fitted to ``validation``."""
    raw, fitted = 1 / (1 + np.exp(-logits)), np.zeros(logits.shape)
    for head in range(logits.shape[1]):
        later = _asked(rows, "validation", head)
        slope, shift = platt(logits[later, head], rows["labels"][later, head], np.ones(len(later)))
        fitted[:, head] = 1 / (1 + np.exp(-(slope * logits[:, head] + shift)))
    return raw, fitted


def _batches(rows: torch.Tensor, moment: torch.Tensor | None) -> Sequence[torch.Tensor]:
    """Rows in random order; with moments, those of one together, so that its actions are read once."""
    if moment is not None:
        place = torch.randperm(int(moment.max()) + 1)[moment[rows]]
        return rows[place.argsort(stable=True)].split(BATCH)
    return rows[torch.randperm(len(rows))].split(BATCH)


def _asked(rows: Rows, part: str, head: int) -> NDArray[np.int64]:
    return rows[part][rows["asked"][rows[part], head]]


def _weights(rows: Rows, some: NDArray[np.int64]) -> NDArray[np.float64]:
    return rows["weights"][some] if "weights" in rows else np.ones(len(some))


def _log_loss(logits: torch.Tensor, labels: torch.Tensor, asked: torch.Tensor) -> float:
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return float(((loss * asked).sum(0) / asked.sum(0).clamp_min(1)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", required=True, choices=list(MODELS))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with np.load(given.rows) as stored:
        rows = {name: stored[name] for name in stored.files}
    started = time.monotonic()
    raw, fitted = calibrated(rows, MODELS[given.model](rows, given.seed))
    np.savez(given.out, raw=raw, fitted=fitted, seconds=time.monotonic() - started)


if __name__ == "__main__":
    main()
