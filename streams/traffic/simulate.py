"""Simulated traffic: impressions with position bias, then what pinners with known tastes do about them.

A slate's pins are drawn by a policy that half knows the pinner and stand in random order, so position
and taste are independent. A pin at position k is looked at with the examination probability of its
surface; only then may a closeup follow, and after it a save or an outbound click; or a hide instead.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from streams.traffic.lines import Line
from streams.traffic.world import DAY, Floats, Ints, World

#: Share of a day's sessions that start in each hour (UTC): quiet nights, a full evening.
HOURS = np.array([3, 2, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 6, 6, 5, 5, 5, 6, 8, 10, 11, 10, 8, 5], dtype=float)
#: Slates over a larger catalogue are drawn from a random part of it, so that each takes constant time.
POOL = 2_000
#: Measured with the default behaviour: 20 impressions and what follows from them.
EVENTS_PER_SLATE = 23.9


def examination(world: World, surface: str, positions: Ints) -> Floats:
    """Probability that a position (from 0) is looked at."""
    return np.power(1.0 + positions, -world.behaviour.examination_decay[surface])


def board_name(world: World, pinner: int, topic: int) -> str:
    """The board that a simulated pinner keeps for a topic."""
    return f"board-{pinner}-{world.topics[topic]}"


def pin_events(world: World, end: int, images: Sequence[str]) -> list[Line]:
    """Each pin's creation, in time order. Title and description say no more than the pin's topic.

    ``images`` holds one image reference a pin.
    """
    lines: list[Line] = []
    for i, pin in enumerate(world.pin.tolist()):
        label, owner = world.topics[world.topic[i]], int(world.owner[i])
        event: dict[str, Any] = {
            "type": "created",
            "time": end + int(world.created[i]),
            "event_id": f"{world.name}-pin-{pin}",
            "pin": pin,
            "pinner": owner,
            "board": board_name(world, owner, int(world.topic[i])),
            "image": images[i],
            "title": f"{label.capitalize()} no. {pin}",
            "description": f"Photo of clothing: {label}.",
            "link": f"https://{world.domains[world.domain[i]]}/{label}/{pin}",
        }
        lines.append(Line("pins", pin, event))
    return sorted(lines, key=lambda line: line.event["time"])


def pinner_events(world: World, end: int, days: int) -> list[Line]:
    """Sign-ups, chosen interests and follows, in time order; ``end`` in milliseconds."""
    random = np.random.default_rng([world.seed, 1])
    lines: list[Line] = []
    for index, pinner in enumerate(world.pinner.tolist()):
        joined = end - int(days * 1.5 * DAY) - int(random.integers(0, DAY))
        favourites = np.argsort(-world.taste[index])[:2].tolist()
        events: list[dict[str, Any]] = [
            {"type": "signed_up"},
            {"type": "interests", "interests": [world.topics[t] for t in favourites]},
        ]
        if len(world.follows[index]):
            events.append({"type": "followed", "pinners": world.follows[index].tolist()})
        for step, event in enumerate(events):
            time = joined + step * 30_000
            name = f"{world.name}-pinner-{pinner}-{step}"
            lines.append(Line("pinners", pinner, {**event, "time": time, "event_id": name, "pinner": pinner}))
    return sorted(lines, key=lambda line: line.event["time"])


def traffic(world: World, *, slates: int, days: int, end: int) -> Iterator[Line]:
    """Yield the events of ``slates`` slates in time order over the ``days`` before ``end`` (milliseconds).

    A slate makes about :data:`EVENTS_PER_SLATE` events. Deterministic for a world; memory grows by
    16 bytes a slate and by what each pinner saved or hid.
    """
    random = np.random.default_rng([world.seed, 2])
    hour = random.choice(24, slates, p=HOURS / HOURS.sum()) + random.random(slates)
    day = random.integers(0, days, slates)
    begins = np.sort(end - days * DAY + day * DAY + (hour * 3_600_000).astype(np.int64))
    who = random.choice(len(world.pinner), slates, p=world.activity)
    gone: dict[int, set[int]] = {}  # pinner index → pin indexes saved or hidden, never shown again
    waiting: list[tuple[int, int, Line]] = []
    number = 0
    for slate, (begin, index) in enumerate(zip(begins.tolist(), who.tolist(), strict=True)):
        while waiting and waiting[0][0] <= begin:
            yield heapq.heappop(waiting)[2]
        for line in _slate(world, random, slate, index, begin, end, gone.setdefault(index, set())):
            number += 1
            line.event["event_id"] = f"{world.name}-{number}"
            heapq.heappush(waiting, (line.event["time"], number, line))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _slate(
    world: World, random: np.random.Generator, slate: int, index: int, begin: int, end: int, gone: set[int]
) -> list[Line]:
    """Everything that comes of showing one slate to one pinner."""
    how = world.behaviour
    surface = str(random.choice(list(how.surface_share), p=list(how.surface_share.values())))
    pins = _choose(world, random, index, surface, begin - end, gone)
    affinity = world.affinity[index, world.topic[pins]]
    follows = np.isin(world.owner[pins], world.follows[index])
    place = np.arange(len(pins))
    draws = random.random((5, len(pins)))
    seen = draws[0] < examination(world, surface, place)
    likes = how.closeup + world.attractiveness[pins] + how.closeup_affinity * affinity + how.closeup_follow * follows
    closeup = seen & (draws[1] < _sigmoid(likes))
    wants = how.save + how.save_affinity * affinity + how.save_attractiveness * world.attractiveness[pins]
    save = closeup & (draws[2] < _sigmoid(wants))
    outbound = closeup & (draws[3] < _sigmoid(how.outbound + world.domain_appeal[world.domain[pins]]))
    hide = seen & ~closeup & (draws[4] < _sigmoid(how.hide + how.hide_affinity * affinity))
    # Two seconds a pin on average: reading order is position order.
    looks = begin + (random.exponential(2_000, len(pins)).cumsum()).astype(np.int64)
    pinner = int(world.pinner[index])
    name = f"{world.name}-slate-{slate + 1}"
    lines: list[Line] = []
    for k, pin in enumerate(pins.tolist()):
        seen_at = {"pinner": pinner, "pin": int(world.pin[pin]), "slate": name, "position": k, "surface": surface}
        look = int(looks[k])

        def add(topic: str, after: int, look: int = look, seen_at: dict[str, Any] = seen_at, **more: Any) -> None:
            event = {**seen_at, **more, "time": min(look + after, end)}
            lines.append(Line(topic, pinner, event))

        add("impressions", 0)
        if closeup[k]:
            add("clicks", 1_500, type="closeup")
        if outbound[k]:
            add("clicks", 4_000, type="outbound")
        if save[k]:
            add("saves", 6_000, board=board_name(world, pinner, int(world.topic[pin])))
        if hide[k]:
            add("clicks", 1_000, type="hide")
        if save[k] or hide[k]:
            gone.add(pin)
    return lines


def _choose(world: World, random: np.random.Generator, index: int, surface: str, moment: int, gone: set[int]) -> Ints:
    """Indexes of the slate's pins: a Gumbel draw over what exists, weighed by what the policy knows."""
    pool = np.arange(len(world.pin)) if len(world.pin) <= POOL else random.choice(len(world.pin), POOL, replace=False)
    pool = pool[world.created[pool] < moment]
    if gone:
        pool = pool[~np.isin(pool, np.fromiter(gone, np.int64))]
    if surface != "home" and len(pool):
        topic = random.choice(len(world.topics), p=world.taste[index])
        same = pool[world.topic[pool] == topic]
        pool = same if len(same) else pool
    how = world.behaviour
    weight = how.policy_affinity * world.affinity[index, world.topic[pool]]
    weight = weight + how.policy_follow * np.isin(world.owner[pool], world.follows[index])
    best = np.argsort(-(weight + random.gumbel(size=len(pool))))[: how.slate_length]
    return random.permutation(pool[best])


def _sigmoid(logit: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-logit))
