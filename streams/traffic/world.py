"""The simulator's truth: pins with a known attractiveness, pinners with known tastes.

Everything here is SIMULATED. It is written beside the events, so that whatever is learned from them
can be held against what they were drawn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY = 86_400_000


@dataclass(frozen=True)
class Behaviour:
    """How simulated pinners act; all of it is stored with the truth. Logits unless said otherwise."""

    slate_length: int = 20
    #: A pin at position k is looked at with probability ``(1 + k) ** -decay`` (position-based model).
    examination_decay: dict[str, float] = field(default_factory=lambda: {"home": 0.5, "related": 0.7, "search": 0.9})
    surface_share: dict[str, float] = field(default_factory=lambda: {"home": 0.75, "related": 0.15, "search": 0.1})
    #: How strongly the policy that chose the pins already knew the tastes.
    policy_affinity: float = 0.6
    policy_follow: float = 0.7
    #: Closeup of a pin that was looked at.
    closeup: float = -1.7
    closeup_affinity: float = 1.0
    closeup_follow: float = 0.3
    #: Save and outbound click after a closeup.
    save: float = -0.8
    save_affinity: float = 0.7
    save_attractiveness: float = 0.5
    outbound: float = -1.4
    #: Hide of a pin that was looked at and not opened.
    hide: float = -4.3
    hide_affinity: float = -0.6
    #: Dirichlet concentration of tastes: small means that a pinner likes few topics.
    taste_concentration: float = 0.25
    attractiveness_spread: float = 0.8
    activity_spread: float = 0.9
    most_follows: int = 6


@dataclass(frozen=True)
class World:
    """Pins ``(n,)`` and pinners ``(m,)`` with what drives them; ids are positive integers."""

    #: Prefix of event and slate ids: two runs with one name are the same events, and count once.
    name: str
    seed: int
    topics: list[str]
    domains: list[str]
    pin: Ints
    topic: Ints  # (n,) index into topics
    domain: Ints  # (n,) index into domains
    owner: Ints  # (n,) pinner id
    created: Ints  # (n,) milliseconds before the end of the simulation, as a negative number
    attractiveness: Floats  # (n,)
    domain_appeal: Floats  # (domains,)
    pinner: Ints
    taste: Floats  # (m, topics), rows sum to 1
    activity: Floats  # (m,), sums to 1
    follows: list[Ints]  # ids of the pinners that each pinner follows
    behaviour: Behaviour

    @cached_property
    def affinity(self) -> Floats:
        """``(m, topics)``: log of taste over an even taste, bounded below."""
        return np.log(self.taste * len(self.topics) + 0.05)

    def truth(self) -> dict[str, Any]:
        """All of it as JSON-ready values, so that learned values can be compared with it."""
        return {
            "simulated": True,
            "seed": self.seed,
            "behaviour": asdict(self.behaviour),
            "topics": self.topics,
            "domain_appeal": dict(zip(self.domains, self.domain_appeal.round(4).tolist(), strict=True)),
            "attractiveness": dict(
                zip(map(str, self.pin.tolist()), self.attractiveness.round(4).tolist(), strict=True)
            ),
            "topic_of_pin": dict(zip(map(str, self.pin.tolist()), self.topic.tolist(), strict=True)),
            "taste": dict(zip(map(str, self.pinner.tolist()), self.taste.round(4).tolist(), strict=True)),
            "activity": dict(zip(map(str, self.pinner.tolist()), self.activity.round(6).tolist(), strict=True)),
            "follows": {str(p): f.tolist() for p, f in zip(self.pinner.tolist(), self.follows, strict=True)},
        }


def draw_world(
    topic_of_pin: Ints,
    topics: Sequence[str],
    *,
    name: str,
    pinners: int,
    posters: int,
    domains: Sequence[str],
    days: int,
    seed: int,
    behaviour: Behaviour | None = None,
) -> World:
    """Draw tastes, attractiveness, owners and follows; the same arguments give the same world.

    The first ``posters`` of the ``pinners`` post all pins, each mostly in the topics they like.
    Half of the pins exist before the first day, the rest arrive over the days.

    Raises:
        ValueError: more posters than pinners, or no pins.
    """
    if not 1 <= posters <= pinners:
        raise ValueError(f"{posters} posters among {pinners} pinners: choose between 1 and the number of pinners")
    n = len(topic_of_pin)
    if n == 0:
        raise ValueError("a simulation needs at least one pin")
    behaviour = behaviour or Behaviour()
    random = np.random.default_rng(seed)
    taste = random.dirichlet(np.full(len(topics), behaviour.taste_concentration), pinners)
    activity = random.lognormal(0, behaviour.activity_spread, pinners)
    fit = taste[:posters].T[topic_of_pin] + 0.02  # (n, posters)
    owner = (fit.cumsum(1) / fit.sum(1, keepdims=True) > random.random((n, 1))).argmax(1) + 1
    age = np.where(random.random(n) < 0.5, random.uniform(days, days * 1.5, n), random.uniform(0.2, days, n))
    liked = taste @ taste[:posters].T + 0.01  # (pinners, posters)
    follows = [
        np.sort(
            random.choice(
                posters,
                min(int(random.integers(0, behaviour.most_follows + 1)), posters),
                replace=False,
                p=row / row.sum(),
            )
            + 1
        ).astype(np.int64)
        for row in liked
    ]
    pinner = np.arange(1, pinners + 1, dtype=np.int64)
    return World(
        name=name,
        seed=seed,
        topics=list(topics),
        domains=list(domains),
        pin=np.arange(1, n + 1, dtype=np.int64),
        topic=topic_of_pin.astype(np.int64),
        domain=random.integers(0, len(domains), n),
        owner=owner.astype(np.int64),
        created=-(age * DAY).astype(np.int64),
        attractiveness=random.normal(0, behaviour.attractiveness_spread, n),
        domain_appeal=random.normal(0, 0.6, len(domains)),
        pinner=pinner,
        taste=taste,
        activity=activity / activity.sum(),
        follows=[ids[ids != me] for me, ids in zip(pinner.tolist(), follows, strict=True)],
        behaviour=behaviour,
    )
