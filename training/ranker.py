"""Train the ranker and write a version that Triton serves. Runs in ``.venv-models``.

    python -m training.ranker rows.npz [--version N] [--into FOLDER] [--json]

The time-ordered rows are cut in three: the first 70 % train, the next 10 % choose the epoch and calibrate each head,
the last 20 % are only looked at once, for the report. What is modelled is the chance of an action *if the pin is
looked at*: the loss is of ``examination(position) · σ(logit)``, so position bias is explained away and serving needs
no position (the position-based model).
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch

from training.calibration import auc, calibration_error, log_loss, platt
from training.ranker_net import HEADS, Net

PROJECT = Path(__file__).resolve().parent.parent
MODEL = PROJECT / "model_repo" / "ranker"
TRAIN, CALIBRATE = 0.7, 0.8
EPOCHS, PATIENCE, BATCH, RATE, DECAY = 60, 8, 512, 2e-3, 1e-3


def loss_of(net: Net, features: torch.Tensor, labels: torch.Tensor, examined: torch.Tensor) -> torch.Tensor:
    """Log-loss of each head, added up; each impression is looked at with chance ``examined``."""
    p = (torch.sigmoid(net(features)) * examined[:, None]).clamp(1e-7, 1 - 1e-7)
    return -(labels * p.log() + (1 - labels) * (1 - p).log()).sum(1).mean()


def train(rows: dict[str, np.ndarray], seed: int = 0, quiet: bool = False) -> tuple[Net, dict[str, slice]]:
    """A trained and calibrated network, and which rows were used for what."""
    torch.manual_seed(seed)
    torch.set_num_threads(2)
    n = len(rows["features"])
    # A cut never runs through a slate: its rows share what was known.
    cut, end = (int(np.searchsorted(rows["time"], rows["time"][int(n * share)])) for share in (TRAIN, CALIBRATE))
    parts = {"train": slice(0, cut), "calibrate": slice(cut, end), "test": slice(end, n)}
    features = torch.from_numpy(rows["features"].astype(np.float32))
    labels = torch.from_numpy(rows["labels"].astype(np.float32))
    examined = torch.from_numpy(rows["examination"].astype(np.float32))
    net = Net(features.shape[1])
    net.mean.copy_(features[:cut].mean(0))
    net.scale.copy_(features[:cut].std(0).clamp_min(1e-3))
    rate = labels[:cut].sum(0) / examined[:cut].sum()
    with torch.no_grad():
        net.heads.bias.copy_(torch.logit(rate.clamp(1e-4, 0.99)))
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    best, best_state, waited = float("inf"), net.state_dict(), 0
    later = parts["calibrate"]
    for epoch in range(EPOCHS):
        net.train()
        for batch in torch.randperm(cut).split(BATCH):
            optimizer.zero_grad()
            loss_of(net, features[batch], labels[batch], examined[batch]).backward()
            optimizer.step()
        net.eval()
        with torch.inference_mode():
            loss = float(loss_of(net, features[later], labels[later], examined[later]))
        if not quiet:
            print(f"epoch {epoch + 1:2}: log-loss {loss:.5f}")
        waited += 1
        if loss < best:
            best, best_state, waited = loss, {name: value.clone() for name, value in net.state_dict().items()}, 0
        if waited == PATIENCE:
            break
    net.load_state_dict(best_state)
    with torch.inference_mode():
        logits = net(features[later]).double().numpy()
    for head in range(logits.shape[1]):
        slope, shift = platt(logits[:, head], rows["labels"][later, head], rows["examination"][later])
        net.slope[head], net.shift[head] = slope, shift
    return net, parts


def report(net: Net, rows: dict[str, np.ndarray], test: slice) -> dict[str, dict[str, float]]:
    """Head → measures on rows that training never saw, against popularity: the pin's own shrunk rate so far."""
    features = torch.from_numpy(rows["features"][test].astype(np.float32))
    examined = rows["examination"][test].astype(np.float64)
    with torch.inference_mode():
        raw = torch.sigmoid(net(features)).double().numpy()
        served = net.probabilities(features).double().numpy()
    measures: dict[str, dict[str, float]] = {}
    for head, name in enumerate(HEADS):
        happened = rows["labels"][test, head]
        popular = rows["baseline"][test, head] * examined
        ranker, uncalibrated = served[:, head] * examined, raw[:, head] * examined
        measures[name] = {
            "positives": float(happened.sum()),
            "auc": auc(ranker, happened),
            "auc_popularity": auc(popular, happened),
            "log_loss": log_loss(ranker, happened),
            "log_loss_popularity": log_loss(popular, happened),
            "ece": calibration_error(ranker, happened),
            "ece_uncalibrated": calibration_error(uncalibrated, happened),
            "ece_popularity": calibration_error(popular, happened),
        }
        if "served" in rows:
            # Only where the one before was asked: it is compared on the same rows.
            before = rows["served"][test, head].astype(np.float64) * examined
            asked = ~np.isnan(before)
            measures[name] |= {
                "auc_before": auc(before[asked], happened[asked]),
                "log_loss_before": log_loss(before[asked], happened[asked]) if asked.any() else float("nan"),
                "ece_before": calibration_error(before[asked], happened[asked]) if asked.any() else float("nan"),
            }
    return measures


def write(net: Net, names: np.ndarray, version: int, model: Path = MODEL) -> Path:
    """``<model>/<version>`` with the code and these weights; the same weights give the same bytes.

    A ``model`` folder elsewhere becomes one that ``pinstream models deploy`` takes.
    """
    folder = model / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("model.py", "scorer.py"):
        if folder != MODEL / "1":
            shutil.copy2(MODEL / "1" / file, folder / file)
    if model != MODEL:
        # FEATURES stands there twice: as the input, and as what Triton warms up with.
        config = re.sub(
            r'("FEATURES".*?dims: )\[ *\d+ *\]', rf"\g<1>[{len(names)}]", (MODEL / "config.pbtxt").read_text()
        )
        (model / "config.pbtxt").write_text(config)
    path = folder / "weights.npz"
    weights = {"names": names, **{name: value.numpy() for name, value in net.state_dict().items()}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in weights.items():
            packed = io.BytesIO()
            np.save(packed, values)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), packed.getvalue(), zipfile.ZIP_DEFLATED)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="by training.ranker_rows")
    parser.add_argument("--version", type=int, help="which version to write; the next one when left out")
    parser.add_argument("--into", type=Path, default=MODEL, help="the model's folder; model_repo/ranker when left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object, and nothing of each epoch")
    given = parser.parse_args()
    with np.load(given.rows) as stored:
        rows = {name: stored[name] for name in stored.files}
    names = rows.pop("names")
    net, parts = train(rows, given.seed, quiet=given.json)
    measures = report(net, rows, parts["test"])
    if not given.json:
        print(f"\n{'head':16}" + "".join(f"{name:>20}" for name in next(iter(measures.values()))))
        for head, values in measures.items():
            print(f"{head:16}" + "".join(f"{value:20.4f}" for value in values.values()))
    versions = [int(folder.name) for folder in MODEL.iterdir() if folder.name.isdigit()]
    path = write(net, names, given.version or max(versions, default=0) + 1, given.into.resolve())
    told = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
    print(json.dumps({"weights": str(told), "bytes": path.stat().st_size, "test": measures}))


if __name__ == "__main__":
    main()
