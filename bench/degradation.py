"""What each rung of the ladder costs in quality: ``python -m bench degradation``. A table, and a line of JSON.

The real builder makes a slate of ten for each pinner with hidden saves, on each rung; recall@10 is the share of a
pinner's hidden saves (at most ten) among them, NDCG@10 counts early places more. Vectors and probabilities come from
Triton (``pinstream up``); neighbours are searched exactly, so Milvus's own misses are not in the figures.

Worlds: the shipped sample, whose traffic is **simulated**; and, where the real data is (``--data``), rooms and
Pinterest saves. The ranker was trained on the sample's first 70 %, so only the other two say how it does elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np

from bench import _held_out
from bench._held_out import World
from operators.slate.choices import Choices
from operators.slate.ordering import Ordering
from streams.circuit import Circuit
from streams.engine import Engine
from streams.metrics import Metrics
from streams.settings import PROJECT, Settings
from streams.slates import SlateRequest, build_slates
from streams.stores.protocols import Models, StoreUnavailable, VectorStore
from streams.stores.triton import TritonModels
from streams.vector_cache import VectorCache

AT = 10
CHOICES = Choices(ordering=Ordering(size=AT), source_seconds=30, vectors_seconds=30, rank_seconds=30)
#: Slates made together, and pinners of the largest world.
TOGETHER, ASKED = 8, 300


class Rung(NamedTuple):
    name: str
    triton: bool
    milvus: bool
    #: Whether the vectors of the candidates were in memory before.
    vectors: bool
    degraded: frozenset[str]


RUNGS = (
    Rung("whole", True, True, True, frozenset()),
    Rung("Triton gone", False, True, True, frozenset({"ranker"})),
    Rung("Milvus gone, vectors in memory", True, False, True, frozenset({"source.visual", "source.interests"})),
    Rung("Milvus gone, no vector in memory", True, False, False, frozenset({"vectors"})),
    Rung(
        "Triton and Milvus gone, vectors in memory",
        False,
        False,
        True,
        frozenset({"ranker", "source.visual", "source.interests"}),
    ),
    Rung("Triton and Milvus gone, no vector in memory", False, False, False, frozenset({"ranker", "vectors"})),
)
POPULAR = "the most popular pins, the same for all"


class Gone:
    """A part that fails every call."""

    def __init__(self, part: str) -> None:
        # Never opens: each call is to fail by itself.
        self.circuit = Circuit(part, failures=1 << 30)

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: Any) -> Any:
            raise StoreUnavailable(self.circuit.part, "taken away")

        return fail


async def slates(world: World, rung: Rung, models: Models) -> dict[int, list[int]]:
    """Pinner → their ten pins on this rung. Raises RuntimeError when the slates were made on another one."""
    gone = cast(VectorStore, Gone("milvus"))
    cache = VectorCache(world.vectors)
    if rung.vectors:
        await cache.load(np.array(sorted(world.vectors.ids()), np.int64))
    cache.store = world.vectors if rung.milvus else gone
    parts = {"settings": Settings(home=PROJECT / ".pinstream" / "nowhere"), "metrics": Metrics(), "state": world.state}
    engine = SimpleNamespace(
        **parts,
        vectors=cache.store,
        vector_cache=cache,
        pinsage=None,
        models=models if rung.triton else Gone("triton"),
    )
    found: dict[int, list[int]] = {}
    pinners, missed = sorted(world.truth), set[str]()
    for start in range(0, len(pinners), TOGETHER):
        requests = [SlateRequest(pinner, 1, world.now, world.now) for pinner in pinners[start : start + TOGETHER]]
        for slate in await build_slates(cast(Engine, engine), requests, CHOICES):
            found[slate.pinner] = [item.pin for item in slate.items]
            missed |= set(slate.degraded)
    expected = rung.degraded if len(world.vectors.ids()) else rung.degraded & {"ranker", "vectors"}
    if missed != expected:
        raise RuntimeError(f"{world.name}, {rung.name}: slates went without {sorted(missed)}, not {sorted(expected)}")
    return found


def popular(world: World) -> dict[int, list[int]]:
    """Pinner → the best pins of all that they have not saved."""
    best = world.state.quality.leaders(1000, world.now).pins
    return {pinner: best[~world.state.recent.has_saved(pinner, best)][:AT].tolist() for pinner in world.truth}


def measure(found: dict[int, list[int]], truth: dict[int, set[int]]) -> dict[str, float]:
    """Means over pinners, each with half of its 95 % interval."""
    discount = 1 / np.log2(np.arange(2, AT + 2))
    recall, ndcg = [], []
    for pinner, wanted in truth.items():
        hits = np.array([pin in wanted for pin in found[pinner]] + [False] * (AT - len(found[pinner])))
        recall.append(hits.sum() / min(AT, len(wanted)))
        ndcg.append((hits * discount).sum() / discount[: len(wanted)].sum())
    out: dict[str, float] = {}
    for name, values in (("recall", recall), ("ndcg", ndcg)):
        out[name] = round(float(np.mean(values)), 4)
        out[f"{name}_interval"] = round(float(1.96 * np.std(values) / np.sqrt(len(values))), 4)
    return out


async def run(data: Path | None, only: Sequence[str]) -> list[dict[str, Any]]:
    """Every world on every rung."""
    settings = Settings.load()
    models = TritonModels(settings)
    results: list[dict[str, Any]] = []
    worlds = ["sample", *(["rooms", "saves"] if data else [])]
    for name in [world for world in worlds if not only or world in only]:
        if name == "sample":
            world = await _held_out.sample(settings)
        elif name == "rooms":
            world = await _held_out.rooms(settings, cast(Path, data) / "rooms")
        else:
            world = _held_out.saves(cast(Path, data) / "saves", ASKED)
        hidden = sum(map(len, world.truth.values()))
        print(f"\n{world.name}: {len(world.truth)} pinners, {hidden:,} hidden saves\n{'':46}recall@10         NDCG@10")
        figures: dict[str, dict[str, float]] = {}
        for rung in RUNGS:
            if not len(world.vectors.ids()) and (not rung.milvus or not rung.vectors):
                continue  # no pin has a picture: Milvus knows nothing of them
            figures[rung.name] = measure(await slates(world, rung, models), world.truth)
            _tell(rung.name, figures[rung.name])
        figures[POPULAR] = measure(popular(world), world.truth)
        _tell(POPULAR, figures[POPULAR])
        results.append({"world": world.name, "pinners": len(world.truth), "hidden": hidden, "rungs": figures})
    await models.close()
    return results


def _tell(name: str, of: dict[str, float]) -> None:
    print(
        f"  {name:44}{of['recall']:.3f} ± {of['recall_interval']:.3f}   {of['ndcg']:.3f} ± {of['ndcg_interval']:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("PINSTREAM_DATA") or str(PROJECT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of the real data sets")
    parser.add_argument(
        "--only", nargs="*", default=[], choices=["sample", "rooms", "saves"], help="these worlds alone"
    )
    given = parser.parse_args()
    # Slates tell what they go without, each time; here that is the point.
    logging.getLogger("streams").setLevel(logging.ERROR)
    data = given.data if given.data.is_dir() else None
    if data is None:
        print(f"no real data at {given.data}: the sample alone")
    print(json.dumps({"at": AT, "worlds": asyncio.run(run(data, given.only))}))


if __name__ == "__main__":
    main()
