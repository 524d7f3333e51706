"""A new version of the ranker from what a running engine has logged: ``pinstream train-ranker``.

    python -m training.ranker_from_engine [--days 28] [--window-hours 24] [--into FOLDER] [--json]

Reads slates and events of ClickHouse (``training/engine_rows.py``), learns in the models' environment
(``training/ranker.py``) and writes a folder for ``pinstream models deploy``. What serves is not touched. The last fifth
of the rows is only looked at for the report, which has the ranker that served on the same rows (``…_before``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from infra.models_environment import ENVIRONMENT
from operators.slate.utility import ACTIONS
from streams.settings import PROJECT, Settings
from streams.slate_spec import spec_of
from streams.stores.clickhouse import open_event_store
from streams.stores.protocols import StoreUnavailable
from training.engine_rows import Found, engine_rows

#: Fewer impressions teach nothing.
LEAST = 2_000
HOUR = 3_600_000


class NothingLearned(Exception):
    """No new version was written; the message says why and what to do."""


def train(
    settings: Settings, *, days: int, window_hours: float, least: int, into: Path | None, say: Any
) -> dict[str, Any]:
    """Read, learn and write; returns what is told as JSON.

    Raises:
        NothingLearned: too little traffic, a part that is gone, or training that failed.
    """
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise NothingLearned(f"no {python}: run `make setup`")
    spec = spec_of(settings)
    try:
        found = asyncio.run(_rows(settings, spec.version, len(spec.names), days, window_hours, say))
    except (StoreUnavailable, ValueError) as wrong:
        raise NothingLearned(str(wrong)) from None
    count = len(found.rows["time"])
    positives = dict(zip(ACTIONS, found.rows["labels"].sum(axis=0).tolist(), strict=True))
    if count < least or not any(positives.values()):
        raise NothingLearned(
            f"{count:,} impressions with {sum(positives.values()):,} actions teach nothing, {least:,} are asked for: "
            "wait for traffic, look at more --days, or lower --least"
        )
    folder = settings.home / "training"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "engine-rows.npz"
    np.savez_compressed(file, names=np.array(spec.names), **found.rows)
    model = into or folder / "ranker"
    version = 1 + max(_versions(settings.model_repository / "ranker") + _versions(model), default=0)
    say(f"{count:,} impressions; learning version {version}")
    command = [
        str(python),
        "-m",
        "training.ranker",
        str(file),
        "--version",
        str(version),
        "--into",
        str(model),
        "--json",
    ]
    done = subprocess.run(  # noqa: S603 - our own command
        command, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True
    )
    if done.returncode:
        raise NothingLearned(f"training failed:\n{done.stderr.strip()[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return {
        "model": str(model), "version": version, "impressions": count, "positives": positives,
        "slates_without_features": found.bare, "slates_of_another_spec": found.other, "test": told["test"],
    }  # fmt: skip


async def _rows(settings: Settings, spec: str, width: int, days: int, window_hours: float, say: Any) -> Found:
    events = open_event_store(settings)
    try:
        return await engine_rows(events, spec, width, days=days, window=int(window_hours * HOUR), say=say)
    finally:
        await events.close()


def _versions(model: Path) -> list[int]:
    return [int(each.name) for each in model.iterdir() if each.name.isdigit()] if model.is_dir() else []


def _told(found: dict[str, Any]) -> str:
    names = ("auc", "auc_before", "auc_popularity", "log_loss", "log_loss_before", "ece", "ece_uncalibrated")
    lines = [f"{'head':16}{'positives':>10}" + "".join(f"{name:>18}" for name in names)]
    for head, values in found["test"].items():
        cells = "".join(f"{values.get(name, float('nan')):18.4f}" for name in names)
        lines.append(f"{head:16}{values['positives']:10.0f}{cells}")
    skipped = [
        f"{found[key]:,} slates {what} were left out."
        for key, what in (
            ("slates_without_features", "without features"),
            ("slates_of_another_spec", "of another spec"),
        )
        if found[key]
    ]
    deploy = (
        f"Version {found['version']} is in {found['model']}. It serves after: pinstream models deploy {found['model']}"
    )
    return "\n".join([*lines, *skipped, deploy])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="pinstream train-ranker", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=28, help="slates of so many days up to the latest event (28)")
    parser.add_argument("--window-hours", type=float, default=24.0, help="an action counts so long after (24)")
    parser.add_argument("--least", type=int, default=LEAST, help=f"impressions that it takes ({LEAST})")
    parser.add_argument("--into", type=Path, help="the model's folder; <home>/training/ranker when left out")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    given = parser.parse_args()
    if given.days < 1 or given.window_hours <= 0 or given.least < 1:
        parser.error("--days, --window-hours and --least are more than 0")
    try:
        found = train(
            Settings.load(), days=given.days, window_hours=given.window_hours, least=given.least,
            into=given.into and given.into.resolve(), say=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
    except NothingLearned as why:
        sys.exit(f"pinstream train-ranker: {why}")
    print(json.dumps(found) if given.json else _told(found))


if __name__ == "__main__":
    main()
