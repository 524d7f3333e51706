"""``pinstream evaluate pinsage``: PinSage's ladder of ablations on real rooms and real saves.

Learning happens in the models' environment (``training/pinsage.py``); what is finished is kept below
``.pinstream/training/pinsage``, so a run that was stopped goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.quality.contest import Contest, Entry, options, tell
from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT

CACHE = PROJECT / ".pinstream" / "training" / "pinsage"
CHAMPION, RIVAL = "PinSage", "combined MLP"
#: Chosen in validation. Pairs of rooms are few, and more passes over them learn them by heart.
ROOMS = ("--epochs", "6", "--pairs", "4096")
SAVES = ("--epochs", "6", "--hidden", "128")
QUICK = ("--epochs", "3", "--pairs", "2048")
TITLES = {
    "rooms": "Products of one room, half of each known",
    "saves": "The next save, on real saves without pictures",
}


@click.command("pinsage")
@click.option("--only", type=click.Choice(list(TITLES)), help="This data alone.")
@options
def command(
    only: str | None, data: Path, seeds: int, quick: bool, strict: bool, out: Path | None, as_json: bool
) -> None:
    """Measure PinSage beside one modality, a combined MLP, other poolings and a walk; the same data, loss and steps.

    Rooms: other rooms for each seed. Saves: one split, other seeds. The goal is what the combined MLP reaches.
    """
    found: list[Contest] = []
    for kind in TITLES if only is None else (only,):
        if not (data / kind).is_dir():
            click.echo(f"{kind}: skipped, no {data / kind}: set PINSTREAM_DATA or --data", err=True)
            continue
        problems = [_problem(kind, data / kind, seed) for seed in range(seeds if kind == "rooms" else 1)]
        how = QUICK if quick else ROOMS if kind == "rooms" else SAVES
        answer = _models("training.pinsage", "ladder", *map(str, problems), "--seeds", str(seeds), *how, "--json")
        found.append(contest(kind, json.loads(answer)[kind], quick))
    if not found:
        raise SystemExit(1)
    tell("pinsage", found, as_json, out, strict)


def contest(kind: str, systems: dict[str, dict[str, list[float]]], quick: bool) -> Contest:
    """What ``training.pinsage ladder --json`` told of one kind of data, as a contest judged by its deepest hit rate."""
    # Of the real saves hardly a pin is new.
    told = [name for name in systems[CHAMPION] if name != "seconds" and not name.startswith("validation")]
    metrics = sorted(
        (name for name in told if kind == "rooms" or "new" not in name),
        key=lambda name: ("new" in name, not name.startswith("HR@"), name != "HR@10", name),
    )
    metrics.sort(key=lambda name: not (name.startswith("HR@") and name != "HR@10" and "new" not in name))
    entries = [
        Entry(
            system,
            ours=system == CHAMPION,
            values={metric: tuple(values[metric]) for metric in metrics if metric in values},
            seconds=sum(values["seconds"]) / len(values["seconds"]) if values.get("seconds") else None,
        )
        for system, values in systems.items()
    ]
    rival = next(each for each in entries if each.system == RIVAL)
    goals = {metric: round(rival.mean(metric), 4) for metric in (metrics[0], "MRR/10")}
    notes = [f"goals: what {RIVAL} reaches, with the same data, loss and steps; epochs are chosen in validation"]
    if kind == "rooms":
        notes.append("new pins: the positive stands in no room that taught; weights taught here are never shipped")
    return Contest(TITLES[kind], "test, in part" if quick else "test", metrics, entries, goals, CHAMPION, notes)


def _problem(kind: str, folder: Path, seed: int) -> Path:
    """The file with what is learned from; made where it is missing."""
    path = CACHE / f"{kind}-{seed}.npz"
    if not path.exists():
        more = ["--vectors", str(_vectors(folder))] if kind == "rooms" else []
        _run(
            [
                sys.executable,
                "-m",
                "training.pinsage_data",
                kind,
                str(folder),
                *more,
                "--out",
                str(path),
                "--seed",
                str(seed),
            ]
        )
    return path


def _vectors(folder: Path) -> Path:
    pictures = sorted((folder / "products").glob("*.jpg"))
    CACHE.mkdir(parents=True, exist_ok=True)
    listed = CACHE / "rooms.txt"
    listed.write_text("\n".join(map(str, pictures)))
    _models("training.pinsage_pictures", str(listed), "--out", str(CACHE / "rooms-vectors.npz"))
    return CACHE / "rooms-vectors.npz"


def _models(*arguments: str) -> str:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise click.ClickException(f"no {python}: run `make setup`")
    return _run([str(python), "-m", *arguments])


def _run(command: Sequence[str]) -> str:
    """Progress comes on standard error, as it is."""
    try:
        done: Any = subprocess.run(command, cwd=PROJECT, env=os.environ, stdout=subprocess.PIPE, check=True, text=True)
    except subprocess.CalledProcessError as failed:
        raise click.ClickException(f"{' '.join(command[:3])} ended with status {failed.returncode}") from None
    return done.stdout
