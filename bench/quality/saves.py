"""What pinners save next, on real saves: the streamed model beside batch recommenders, by two protocols.

The streamed model sees each save once, in an order drawn by the seed, and learns as the engine does: a step of
bounded work for so many saves, nothing fitted at the end. Its settings were chosen on ``--validate``, a part of
what was known; the test pairs are looked at only here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from bench.quality import batch_recommenders as batch
from bench.quality.contest import Contest, Entry, options, tell
from bench.quality.real_saves import HIT, METRICS, NDCG, NDCG_ONE, RECALL, Protocols, Saves, Scorer, cut, load, only
from operators.collaborative.factors import Fitting
from operators.collaborative.model import Blend, Bounds, SavesModel
from operators.collaborative.taste import Learning

GOALS = {RECALL: 0.165, NDCG: 0.118, HIT: 0.900, NDCG_ONE: 0.620}
OURS = "streamed"
#: Saves that arrive together.
BATCH = 500
#: Chosen on validation; the engine learns less of more pins (``streams/state.py``).
BLEND = Blend(neighbours=1.0, taste=2.0, spectrum=1.0, factors=1.0)
BOUNDS = Bounds(saves=500, lists=512, wide=1_024, renewed=160, boards_of_renewed=1_000)
LEARNING = Learning(width=256, rate=0.001, most=10_240, least=10, steady=0.99)
FITTING = Fitting()


@click.command("saves")
@click.option("--validate", is_flag=True, help="Hold out a part of what was known instead of looking at the test.")
@options
def command(validate: bool, data: Path, seeds: int, quick: bool, strict: bool, out: Path | None, as_json: bool) -> None:
    """What pinners save next: the streamed model beside batch baselines."""
    saves = load(data)
    if quick:
        saves = only(saves, pinners=4_000, items=1_500)
    judged = np.arange(saves.known.shape[0])
    if validate:
        saves, judged = cut(saves, min(6_000, saves.known.shape[0] // 2))
    protocols = Protocols(saves, judged)
    entries = [
        *(_measured(name, False, [0], lambda _, fit=fit: fit(saves.known), protocols) for name, fit in BASELINES),
        _measured("ALS", False, range(seeds), lambda seed: batch.als(saves.known, seed), protocols),
        *_ours(saves, protocols, seeds, quick),
    ]
    over = f"{len(protocols.pinners):,} pinners, {int(saves.known.nnz):,} known saves, {saves.known.shape[1]:,} pins"
    goals = {} if quick or validate else GOALS
    split = f"{'validation' if validate else 'test'}: {over}"
    notes = ("the streamed model saw every save once, in an order drawn by the seed",)
    tell(
        "saves", [Contest("what pinners save next", split, METRICS, entries, goals, OURS, notes)], as_json, out, strict
    )


BASELINES: tuple[tuple[str, Callable[..., Scorer]], ...] = (
    ("most popular", batch.popular),
    ("ItemKNN cosine", batch.item_knn),
    ("P3α", batch.walks_of_three),
    ("RP3β", lambda known: batch.walks_of_three(known, batch.RP3_ALPHA, batch.RP3_BETA)),
    ("EASE", batch.ease),
)


def streamed(saves: Saves, seed: int, quick: bool = False) -> SavesModel:
    """A model that every known save went through, one batch after another."""
    if quick:  # so few pins learn little from few steps
        few = Learning(width=64, rate=0.001, most=10_240)
        model = SavesModel(seed=seed, bounds=Bounds(saves=100, lists=512, wide=512), learning=few, directions=128)
    else:
        model = SavesModel(blend=BLEND, bounds=BOUNDS, learning=LEARNING, directions=512, fitting=FITTING, seed=seed)
    pinners, items = saves.pairs()
    order = np.random.default_rng(seed).permutation(len(pinners))
    for begin in range(0, len(order), BATCH):
        some = order[begin : begin + BATCH]
        model.add(pinners[some] + 1, items[some] + 1)
        while model.due:
            model.learn(model.draw())
    return model


def scorer(saves: Saves, model: SavesModel) -> Scorer:
    """Scores as a pinner who is nothing but a list gets them; items that nobody saved come last."""

    def score(pinners: NDArray[np.int64]) -> NDArray[np.float32]:
        lists = [
            saves.known.indices[slice(*saves.known.indptr[each : each + 2])].astype(np.int64) + 1 for each in pinners
        ]
        ids, found = model.score(lists)
        scores = np.full((len(pinners), saves.known.shape[1]), found[np.isfinite(found)].min() - 1, np.float32)
        scores[:, ids - 1] = found
        return scores

    return score


def _ours(saves: Saves, protocols: Protocols, seeds: int, quick: bool) -> list[Entry]:
    """The streamed model, and its members alone for the first seed."""
    models: list[SavesModel] = []

    def fit(seed: int) -> Scorer:
        models.append(streamed(saves, seed, quick))
        return scorer(saves, models[-1])

    whole = _measured(OURS, True, range(seeds), fit, protocols)
    nothing = replace(models[0].blend, neighbours=0.0, taste=0.0, spectrum=0.0, factors=0.0)
    alone: list[Entry] = []
    for member in ("neighbours", "taste", "spectrum", *(() if models[0].factors is None else ("factors",))):
        models[0].blend = replace(nothing, **{member: 1.0})
        entry = _measured(f"  its {member} alone", True, [0], lambda _: scorer(saves, models[0]), protocols)
        alone.append(replace(entry, seconds=None))
    return [whole, *alone]


def _measured(
    name: str, ours: bool, seeds: range | list[int], fit: Callable[[int], Scorer], protocols: Protocols
) -> Entry:
    values: dict[str, list[float]] = {metric: [] for metric in METRICS}
    seconds: list[float] = []
    for seed in seeds:
        click.echo(f"{name}, seed {seed}", err=True)
        began = time.monotonic()
        fitted = fit(seed)
        seconds.append(time.monotonic() - began)
        for metric, value in protocols.judge(fitted).items():
            values[metric].append(value)
    return Entry(name, ours, {metric: tuple(some) for metric, some in values.items()}, float(np.mean(seconds)))
