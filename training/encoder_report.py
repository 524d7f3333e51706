"""How good is the embedding on pictures that it never saw? Runs in ``.venv-models``.

    python -m training.encoder_report --photos DATA/photos --rooms DATA/rooms [--seeds 3] [--every N] [--json]

For each task recall@10: of what belongs to a test picture, the share (of at most ten) among its ten nearest of all
other pictures. What belongs to it has its label; for ``exact`` the question is the picture as a simulated camera
takes it, and the picture itself belongs to it. ``browse`` also has the accuracy of the vote of its ten nearest
training pictures. Rows: the bare trunk, the head that is served (``shipped``), a head trained for one task alone and
the unified head; of each also its bits (each dimension against its mean over the pictures searched, by Hamming
distance) and its bits with the best hundred ordered exactly. Every head is trained for as many steps on as many
pictures a step; the one that is served was not taught the rooms.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training import encoder_tasks
from training.encoder import arguments, classifier, given_tasks, labelled, views_of
from training.encoder_head import embed, train
from training.encoder_tasks import Task
from training.encoder_views import MODEL, network

AT, SHORT_LIST = 10, 100
#: (n, features) → (n, width), L2-normalised.
Embed = Callable[[np.ndarray], np.ndarray]


class Asked(NamedTuple):
    """A task's questions: similarities ``(queries, pictures)``, and which pictures belong to each question."""

    similarities: np.ndarray
    belong: np.ndarray


def nearest(similarities: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-similarities, axis=1, kind="stable")[:, :k]


def recall(similarities: np.ndarray, belong: np.ndarray) -> float:
    """Mean share of what belongs to a question, at most ten, among its ten nearest."""
    hits = np.take_along_axis(belong, nearest(similarities, AT), axis=1).sum(1)
    asked = belong.any(1)
    return float((hits[asked] / np.minimum(belong.sum(1)[asked], AT)).mean())


def accuracy(similarities: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> float:
    """Share of questions that their ten nearest, each with its similarity, vote right."""
    found = nearest(similarities, AT)
    names = np.unique(labels)
    votes = np.zeros((len(found), len(names)))
    weights = np.take_along_axis(similarities, found, axis=1)
    np.add.at(votes, (np.arange(len(found))[:, None], np.searchsorted(names, labels[found])), weights)
    return float((names[votes.argmax(1)] == truth).mean())


def bits(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """±1: their inner products order pairs as Hamming distance does."""
    return np.where(vectors > mean, 1, -1).astype(np.float32)


def measured(task: Task, views: np.ndarray, embedding: Embed) -> dict[str, float]:
    """Measure → value, of one embedding on one task; the same for its bits."""
    exact = task.name == "exact"
    every, queries = embedding(views[0]), embedding(views[-1] if exact else views[0])[task.test]
    labels, test = np.array(task.labels), np.flatnonzero(task.test)
    belong = labels[test][:, None] == labels[None]
    itself = np.zeros_like(belong) if exact else test[:, None] == np.arange(len(labels))[None]
    similarities = queries @ every.T - 9.0 * itself
    mean = every.mean(0)
    hamming = bits(queries, mean) @ bits(every, mean).T - 9.0 * every.shape[1] * itself
    again = _reordered(similarities, hamming)
    belong &= ~itself
    found = {
        "recall@10": recall(similarities, belong),
        "recall@10 of bits": recall(hamming, belong),
        "recall@10 of bits, ordered again": recall(again, belong),
    }
    if task.name == "browse":
        taught = ~task.test
        found["kNN-10"] = accuracy(similarities[:, taught], labels[taught], labels[test])
        found["kNN-10 of bits"] = accuracy(hamming[:, taught], labels[taught], labels[test])
        found["kNN-10 of bits, ordered again"] = accuracy(
            _reordered(similarities[:, taught], hamming[:, taught]), labels[taught], labels[test]
        )
    return found


def _reordered(similarities: np.ndarray, hamming: np.ndarray) -> np.ndarray:
    """The similarities of the best hundred by bits; all others come after them."""
    short = nearest(hamming, SHORT_LIST)
    again = np.full_like(similarities, -99.0)
    np.put_along_axis(again, short, np.take_along_axis(similarities, short, axis=1), axis=1)
    return again


def thinned(task: Task, every: int) -> Task:
    """One picture in ``every``, drawn by lot so that no label is preferred: a look that takes minutes, not hours."""
    rows = sorted(np.random.default_rng(0).permutation(len(task.labels))[::every].tolist())
    return Task(task.name, [task.pictures[row] for row in rows], [task.labels[row] for row in rows], task.test[rows])


def raw(features: np.ndarray) -> np.ndarray:
    """The trunk's own features, L2-normalised."""
    floats = features.astype(np.float32)
    return floats / np.linalg.norm(floats, axis=1, keepdims=True)


def table(
    tasks: Sequence[Task], views: Sequence[np.ndarray], version: int, seeds: int
) -> dict[str, dict[str, list[float]]]:
    """Embedding → ``task measure`` → a value for each seed."""
    net, told = network(version), classifier()
    teaching = [labelled(task, seen) for task, seen in zip(tasks, views, strict=True)]
    groups = {"unified": teaching} | {f"{task.name} alone": [own] for task, own in zip(tasks, teaching, strict=True)}
    rows: dict[str, dict[str, list[float]]] = {}

    def note(name: str, embedding: Embed) -> None:
        for task, seen in zip(tasks, views, strict=True):
            for measure, value in measured(task, seen, embedding).items():
                rows.setdefault(name, {}).setdefault(f"{task.name} {measure}", []).append(value)

    note("trunk", raw)
    shipped = net.Head.load(MODEL / str(version) / "head.npz")
    note("shipped", lambda features: embed(shipped, features))
    for name, group in groups.items():
        for seed in range(seeds):
            print(f"training the head {name}, seed {seed}", file=sys.stderr, flush=True)
            head = train(net, group, told, seed)
            note(name, lambda features, head=head: embed(head, features))
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument(
        "--rooms", type=Path, action="append", default=[], help="a folder with rooms.json: measured on, never shipped"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="one picture in so many: quicker and less exact")
    parser.add_argument("--json", action="store_true", help="every value of every seed")
    given = parser.parse_args()
    tasks = given_tasks(given) + [task for folder in given.rooms for task in encoder_tasks.rooms(folder)]
    tasks = [thinned(task, given.every) for task in tasks]
    tasks.append(encoder_tasks.exact(tasks))
    rows = table(tasks, views_of(tasks, given.version, given.cache), given.version, given.seeds)
    if given.json:
        questions = {task.name: int(task.test.sum()) for task in tasks}
        print(json.dumps({"questions": questions, "embeddings": rows}))
        return
    for measure in rows["trunk"]:
        print(f"\n{measure}")
        for name, values in rows.items():
            print(f"  {name:20} {np.mean(values[measure]):.4f} ± {np.std(values[measure]):.4f}")


if __name__ == "__main__":
    main()
