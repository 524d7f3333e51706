"""Which fault comes when: a pure function of the seed, so that a run can be had again."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

PARTS = ("kafka", "clickhouse", "milvus", "triton")
WORKERS = ("worker-0", "worker-1")
#: Of a hundred kills, how many hit what.
KILLS = {"worker-0": 16, "worker-1": 16, "clickhouse": 24, "kafka": 16, "milvus": 14, "triton": 14}
#: Seconds; Kafka gives up a worker that was not heard of for ten.
ZOMBIE_SECONDS = 14.0


@dataclass(frozen=True)
class Fault:
    """``what`` is done to ``part``; it lasts ``seconds`` where it is not over at once.

    ``pause`` seconds lie between it and what was before: the recovery from the last fault or, where ``at_once``, the
    last fault itself.
    """

    what: str
    part: str
    pause: float
    seconds: float = 0.0
    at_once: bool = False
    #: Seconds that a clock is off.
    step: int = 0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        by = f" by {self.step:+} s" if self.step else ""
        return f"{self.what} {self.part}{by}{lasting}"

    def told(self) -> dict[str, Any]:
        return asdict(self)


def schedule(seed: int, kills: int) -> list[Fault]:
    """``kills`` kills over all parts, and about half as many other faults among them."""
    rng = random.Random(seed)
    planned: list[tuple[str, str, float, int]] = [("kill", part, 0.0, 0) for part in _shares(kills)]
    rounds = max(1, round(kills / 25))
    for _ in range(rounds):
        planned += [("stop", part, rng.uniform(2, 6), 0) for part in (*PARTS, rng.choice(WORKERS))]
        planned += [(rng.choice(("cut", "slow", "hold")), part, rng.uniform(2, 5), 0) for part in PARTS]
        planned += [("lose answers", "clickhouse", rng.uniform(2, 5), 0)]
        planned += [("stop", rng.choice(WORKERS), ZOMBIE_SECONDS, 0)]
        planned += [("fill disk", "clickhouse", rng.uniform(3, 6), 0)]
        planned += [("rebalance", "worker-2", 0.0, 0)]
        planned += [("step clock", rng.choice(WORKERS), rng.uniform(2, 5), rng.choice((-3600, -90, 90, 3600)))]
    rng.shuffle(planned)
    return [
        Fault(what, part, round(rng.uniform(0.2, 2.5), 2), round(seconds, 2), number > 0 and rng.random() < 0.15, step)
        for number, (what, part, seconds, step) in enumerate(planned)
    ]


def short(seed: int) -> list[Fault]:
    """For every run of the tests: each part dies once, one is cut off, one hangs, and a worker comes and goes."""
    rng = random.Random(seed)
    faults = [Fault("kill", part, round(rng.uniform(0.2, 1), 2)) for part in (*PARTS, *WORKERS)]
    faults += [Fault("lose answers", "clickhouse", 0.5, 2.0), Fault("stop", rng.choice(PARTS[:2]), 0.5, 3.0)]
    rng.shuffle(faults)
    return faults


def _shares(kills: int) -> list[str]:
    """The parts to kill, by largest remainder, each at least once where there are enough."""
    exact = {part: kills * share / sum(KILLS.values()) for part, share in KILLS.items()}
    whole = {part: int(share) for part, share in exact.items()}
    for part in sorted(exact, key=lambda part: whole[part] - exact[part])[: kills - sum(whole.values())]:
        whole[part] += 1
    return [part for part, times in whole.items() for _ in range(times)]
