"""``pinstream evaluate cold-start``: pinners of whom nothing was learned, from none of their saves to twenty.

Held-out pinners are left out of everything that is learned. Of the saves of each, some only choose topics, up to twenty
are shown one after another, and the rest is to be predicted; the last part is the same for all systems and all numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import svds

from bench.quality.contest import Contest, Entry, options, tell
from bench.quality.ranking_metrics import ndcg_at, recall_at
from operators.interests.medoids import SAMPLED, THRESHOLD, interests, sample
from operators.sequence.next_actions import NextActions

#: Saves that choose topics, that are shown, and that are left to be predicted at least.
CHOOSING, SHOWN, LEFT = 10, 20, 5
AFTER = (0, 1, 2, 3, 5, 10, 20)
K, BUDGET = 20, 100
DIMENSIONS, TOPICS, PICKED = 64, 200, 3
#: Pins that PinnerSage counts as relevant: cosine with one that was wanted.
RELEVANT = 0.8
NOW = 1_750_000_000_000
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class World(NamedTuple):
    """What was learned from the others, and the held-out pinners."""

    popularity: Floats  # (items,)
    vectors: Floats  # (items, DIMENSIONS), L2-normalised
    topics: Ints  # (items,)
    learned: Ints  # (rows, 2) pinner and item of the others, in the order of the file
    choosing: list[Ints]
    shown: list[Ints]
    wanted: list[Ints]


def lists_of(data: Path) -> list[Ints]:
    """All saves of each pinner, as item numbers. Raises click.ClickException without the data."""
    saves: dict[int, list[int]] = {}
    for name in ("train.txt", "test.txt"):
        path = data / "saves" / name
        if not path.exists():
            raise click.ClickException(f"no {path}: set PINSTREAM_DATA, or --data, to the folder that holds saves/")
        for line in path.read_text().splitlines():
            pinner, *items = map(int, line.split())
            saves.setdefault(pinner, []).extend(items)
    return [np.array(each, np.int64) for each in saves.values()]


def world_of(lists: list[Ints], part: str, seed: int, asked: int, learning: int | None = None) -> World:
    """Hold ``asked`` pinners out. Those of ``validation`` and of ``test`` are never the same."""
    chance = np.random.default_rng(0)
    long = np.flatnonzero([len(each) >= CHOOSING + SHOWN + LEFT for each in lists])
    half = np.array_split(chance.permutation(long), 2)[part == "test"]
    chance = np.random.default_rng(seed)
    held = chance.permutation(half)[:asked]
    apart = set(held.tolist())
    others = [number for number in range(len(lists)) if number not in apart][:learning]
    learned = np.concatenate([np.stack([np.full(len(lists[n]), n), lists[n]], axis=1) for n in others])
    items = max(int(each.max()) for each in lists) + 1
    popularity = np.bincount(learned[:, 1], minlength=items).astype(np.float64)
    vectors = _vectors(learned, items)
    _, topics = kmeans2(vectors, TOPICS, minit="++", seed=np.random.default_rng(seed), missing="warn")
    mixed = [chance.permutation(lists[number]) for number in held.tolist()]
    end = CHOOSING + SHOWN
    return World(
        popularity, vectors, topics.astype(np.int64), learned,
        [each[:CHOOSING] for each in mixed], [each[CHOOSING:end] for each in mixed], [each[end:] for each in mixed],
    )  # fmt: skip


def _vectors(learned: Ints, items: int) -> Floats:
    """Truncated SVD of pinners × items, rows and columns normalised by the roots of their sums."""
    _, pinners = np.unique(learned[:, 0], return_inverse=True)
    saves = csr_matrix((np.ones(len(learned)), (pinners, learned[:, 1])), shape=(pinners.max() + 1, items))
    rows, columns = (np.asarray(saves.sum(axis=axis)).ravel() for axis in (1, 0))
    even = diags(1 / np.sqrt(rows + 1)) @ saves @ diags(1 / np.sqrt(columns + 1))
    _, strengths, right = svds(even, DIMENSIONS, random_state=0)
    vectors = right.T * strengths
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def by_popularity(world: World, pinner: int, k: int) -> Floats:
    return world.popularity


def by_topics(world: World, pinner: int, k: int) -> Floats:
    """Popular items of the three clusters that most of the choosing saves are in."""
    counts = np.bincount(world.topics[world.choosing[pinner]], minlength=TOPICS)
    chosen = np.argsort(-counts, kind="stable")[:PICKED]
    chosen = chosen[counts[chosen] > 0]
    return np.where(np.isin(world.topics, chosen), 1e9, 0) + world.popularity


def by_last(world: World, pinner: int, k: int) -> Floats:
    return world.vectors @ world.vectors[world.shown[pinner][k - 1]] if k else world.popularity


def by_mean(world: World, pinner: int, k: int) -> Floats:
    return world.vectors @ world.vectors[world.shown[pinner][:k]].mean(axis=0) if k else world.popularity


def by_interests(world: World, pinner: int, k: int, threshold: float = THRESHOLD, most: int | None = SAMPLED) -> Floats:
    """Neighbours of medoids in turns, as often as each is important; ``most`` drawn by importance, all if None."""
    if not k:
        return world.popularity
    vectors = world.vectors[world.shown[pinner][:k]]
    found = interests(vectors, np.full(k, NOW), NOW, threshold)
    rows = np.arange(len(found)) if most is None else sample(found.importance, most, pinner)
    cosines = vectors[found.medoids[rows]] @ world.vectors.T
    cosines[:, world.shown[pinner][:k]] = -np.inf
    places = np.argsort(np.argsort(-cosines, axis=1, kind="stable"), axis=1)
    return -((places + 0.5) / found.importance[rows][:, None]).min(axis=0)


def streamed(world: World) -> Callable[[World, int, int], Floats]:
    """The model of next actions, fed the others' saves one by one, then those shown; what is wanted it never sees."""
    model = NextActions(followers=256)
    pinners, items = world.learned[:, 0] + 1, world.learned[:, 1] + 1
    model.update(pinners, NOW + np.arange(len(items)) * 1000, items)
    end, first = NOW + len(items) * 1000, int(pinners.max()) + 1
    every = np.arange(1, len(world.popularity) + 1)
    done: dict[int, int] = {}

    def scores(world: World, pinner: int, k: int) -> Floats:
        shown = world.shown[pinner][done.get(pinner, 0) : k] + 1
        model.update(np.full(len(shown), first + pinner), end + np.arange(len(shown)) * 1000, shown)
        done[pinner] = k
        return model.scores(first + pinner, end + len(shown) * 1000, every)

    return scores


def curve(
    world: World, systems: Mapping[str, Any], after: tuple[int, ...] = AFTER
) -> dict[str, dict[int, list[float]]]:
    """System → saves shown → mean recall@20 and NDCG@20 over the held-out pinners."""
    found: dict[str, dict[int, list[float]]] = {name: {} for name in systems}
    for name, system in systems.items():
        for k in after:
            hits = np.zeros((len(world.shown), K), np.bool_)
            for pinner, wanted in enumerate(world.wanted):
                scores = np.array(system(world, pinner, k), np.float64)
                scores[world.choosing[pinner]] = scores[world.shown[pinner][:k]] = -np.inf
                best = np.argpartition(-scores, K)[:K]
                hits[pinner] = np.isin(best[np.lexsort((best, -scores[best]))], wanted)
            sizes = np.array([len(each) for each in world.wanted])
            found[name][k] = [float(recall_at(hits, sizes).mean()), float(ndcg_at(hits, sizes).mean())]
    return found


def retrieval(world: World, systems: Mapping[str, Any]) -> dict[str, list[float]]:
    """System → recall and relevance of :data:`BUDGET` pins, of all that were shown: PinnerSage's measures."""
    found: dict[str, list[float]] = {}
    for name, system in systems.items():
        recalls: list[float] = []
        relevant: list[float] = []
        for pinner, wanted in enumerate(world.wanted):
            scores = np.array(system(world, pinner, SHOWN), np.float64)
            scores[world.choosing[pinner]] = scores[world.shown[pinner]] = -np.inf
            best = np.argpartition(-scores, BUDGET)[:BUDGET]
            recalls.append(float(np.isin(wanted, best).mean()))
            near = (world.vectors[wanted] @ world.vectors[best].T).max(axis=1)
            relevant.append(float((near >= RELEVANT).mean()))
        found[name] = [float(np.mean(recalls)), float(np.mean(relevant))]
    return found


def contests_of(data: Path, part: str, seeds: int, asked: int, learning: int | None = None) -> list[Contest]:
    """The curve, and multi-interest beside a single vector and the last pin, on real saves."""
    lists = lists_of(data)
    columns = [f"{metric}, {k}" for metric in ("NDCG@20", "recall@20") for k in AFTER]
    curves: dict[str, dict[str, list[float]]] = {}
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(seeds):
        world = world_of(lists, part, seed, asked, learning)
        vector = {"last pin": by_last, "mean vector": by_mean, "interests, 3 drawn": by_interests}
        vector["interests, all"] = partial(by_interests, most=None)
        systems: dict[str, Any] = {"most popular": by_popularity, "3 topics": by_topics}
        systems |= {"mean vector": by_mean, "interests, all": vector["interests, all"], "streamed": streamed(world)}
        for name, each in curve(world, systems).items():
            for k, (recall, ndcg) in each.items():
                values = curves.setdefault(name, {})
                values.setdefault(f"recall@20, {k}", []).append(recall)
                values.setdefault(f"NDCG@20, {k}", []).append(ndcg)
        for name, (recall, relevance) in retrieval(world, vector).items():
            found.setdefault(name, {}).setdefault(f"recall@{BUDGET}", []).append(recall)
            found[name].setdefault("relevance", []).append(relevance)
    popular = float(np.mean(curves["most popular"]["NDCG@20, 0"]))
    over = f"{part}, {asked:,} pinners held out, seeds {seeds}"
    single = max(float(np.mean(found[name]["relevance"])) for name in ("last pin", "mean vector"))
    recalled = max(float(np.mean(found[name][f"recall@{BUDGET}"])) for name in ("last pin", "mean vector"))
    return [
        Contest(
            "Cold start on real saves", f"{over}; after so many saves", columns,
            [_entry(name, name in ("3 topics", "streamed", "interests, all"), curves[name]) for name in curves],
            goals={"NDCG@20, 0": popular + 1e-6}, champion="3 topics",
            notes=(
                "topics are derived, as saves has none: clusters of item vectors of the others' saves; a pinner "
                "'chooses' the three that most of ten saves are in which are neither shown nor to be predicted.",
                "most popular and 3 topics know nothing of what is shown.",
            ),
        ),
        Contest(
            "Interests on real saves", f"{over}; 20 saves shown, {BUDGET} pins retrieved",
            ["relevance", f"recall@{BUDGET}"],
            [_entry(name, name.startswith("interests"), values) for name, values in found.items()],
            goals={"relevance": single + 1e-6, f"recall@{BUDGET}": recalled + 1e-6}, champion="interests, 3 drawn",
            notes=("relevance: share of the wanted pins with a cosine of 0.8 or more to a retrieved one.",),
        ),
    ]  # fmt: skip


def _entry(name: str, ours: bool, values: Mapping[str, list[float]]) -> Entry:
    return Entry(name, ours, {metric: tuple(each) for metric, each in values.items()})


@click.command(name="cold-start")
@options
@click.option("--part", type=click.Choice(["validation", "test"]), default="test", show_default=True)
def command(data: Path, seeds: int, quick: bool, strict: bool, out: Path | None, as_json: bool, part: str) -> None:
    """Pinners of whom little is known, from none of their saves to twenty; topics at sign-up; interests."""
    contests = contests_of(data, part, 1, 150, 8_000) if quick else contests_of(data, part, seeds, 500)
    tell("cold-start", contests, as_json, out, strict)
