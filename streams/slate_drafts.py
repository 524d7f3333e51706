"""Drafts of slates: what the sources found for each pinner, less what must not be shown to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.catalogue import Facts
from operators.slate.candidates import PERSONAL, Candidates, Found, merge
from operators.slate.choices import Choices
from operators.slate.filters import Question, apply
from operators.small_sets import contains
from streams.slate_sources import Ask
from streams.state import HotState


class SlateRequest(NamedTuple):
    """Who is to get a slate, which event asked for it and when Kafka had it (ms), and stream time (ms)."""

    pinner: int
    trigger_event: int
    trigger_logged: int
    now: int


@dataclass
class Draft:
    """A slate in the making."""

    request: SlateRequest
    ask: Ask
    candidates: Candidates
    facts: Facts
    #: Seen before: these only fill places that are left over.
    repeats: NDArray[np.bool_]
    dropped: dict[str, Ints]
    popular: bool


def drafts_of(
    state: HotState,
    requests: Sequence[SlateRequest],
    asks: Sequence[Ask],
    found: Mapping[str, Sequence[Found]],
    choices: Choices,
    unsafe_above: float,
) -> list[Draft]:
    """What may be shown to each. ``found`` has one entry a request for each source that answered; pictures with a score
    above ``unsafe_above`` stay out.

    A slate that would be short is filled with popular pins, then with repeats.
    """
    merged = [merge({name: each[row] for name, each in found.items()}, choices.candidates) for row in range(len(asks))]
    facts = state.catalogue.facts(np.concatenate([each.pins for each in merged]))
    parts, drafts = parts_of(merged), list[Draft]()
    for row, (request, ask) in enumerate(zip(requests, asks, strict=True)):
        popular = not any(len(found[name][row]) for name in PERSONAL if name in found)
        drafts.append(_draft(state, choices, request, ask, merged[row], facts.take(parts[row]), popular, unsafe_above))
    return drafts


def parts_of(candidates: Sequence[Candidates]) -> list[slice]:
    """Where each slate's candidates stand in the table of all."""
    ends = np.cumsum([len(each) for each in candidates]).tolist()
    return [slice(end - len(each), end) for each, end in zip(candidates, ends, strict=True)]


def _draft(
    state: HotState,
    choices: Choices,
    request: SlateRequest,
    ask: Ask,
    candidates: Candidates,
    facts: Facts,
    popular: bool,
    unsafe_above: float,
) -> Draft:
    keep, dropped = apply(_question(state, request.pinner, candidates.pins, facts, unsafe_above))
    size = choices.ordering.size
    if np.count_nonzero(keep) < size:
        more = state.quality.leaders(choices.candidates, ask.now).pins
        added = np.setdiff1d(np.concatenate([more, state.catalogue.newest(choices.candidates)]), candidates.pins)
        if len(added):
            popular = True
            unscored = np.full((len(added), candidates.scores.shape[1]), np.nan, np.float32)
            candidates = Candidates(
                np.concatenate([candidates.pins, added]), np.concatenate([candidates.scores, unscored])
            )
            facts = state.catalogue.facts(candidates.pins)
            keep, dropped = apply(_question(state, request.pinner, candidates.pins, facts, unsafe_above))
    repeats = np.zeros(len(candidates), np.bool_)
    if np.count_nonzero(keep) < size and "seen" in dropped:
        repeats = contains(candidates.pins, dropped["seen"])
        keep |= repeats
    return Draft(request, ask, candidates.take(keep), facts.take(keep), repeats[keep], dropped, popular)


def _question(state: HotState, pinner: int, pins: Ints, facts: Facts, unsafe_above: float) -> Question:
    return Question(
        pinner=pinner,
        pins=pins,
        pictures=state.pictures.canonicals(pins),
        owners=facts.owners,
        known=facts.known,
        deleted=facts.deleted,
        unsafe=state.safety.above(pins, unsafe_above),
        seen=state.recent.seen(pinner),
        saved=pins[state.recent.has_saved(pinner, pins)],
        hidden=state.recent.hidden(pinner),
    )
