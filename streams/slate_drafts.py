"""Drafts of slates: what the sources found for each pinner, less what must not be shown to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.catalogue import Facts
from operators.slate.blend import drawn_shares
from operators.slate.candidates import PERSONAL, Candidates, Found, merge
from operators.slate.choices import Choices
from operators.slate.filters import Question, kept
from streams.slate_sources.ask import Ask
from streams.state import HotState


class SlateRequest(NamedTuple):
    """Who is to get a slate, which event asked for it and when Kafka had it (ms), and stream time (ms)."""

    pinner: int
    trigger_event: int
    trigger_logged: int
    now: int


class Blend(NamedTuple):
    """How many pins each source found, its share of the candidates, and what the share was drawn from."""

    found: dict[str, int]
    shares: dict[str, int]
    own: Ints
    everybody: Ints


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
    blend: Blend
    #: All that the filters saw, and the facts of it.
    merged: Candidates
    question: Question
    merged_facts: Facts


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
    blends = [_blend(state, ask, {name: each[row] for name, each in found.items()}) for row, ask in enumerate(asks)]
    merged = [
        merge({name: each[row] for name, each in found.items()}, choices.candidates, blend.shares)
        for row, blend in enumerate(blends)
    ]
    facts = state.catalogue.facts(np.concatenate([each.pins for each in merged]))
    parts, drafts = parts_of(merged), list[Draft]()
    for row, (request, ask) in enumerate(zip(requests, asks, strict=True)):
        popular = not any(len(found[name][row]) for name in PERSONAL if name in found)
        drafts.append(
            _draft(
                state, choices, request, ask, merged[row], facts.take(parts[row]), popular, unsafe_above, blends[row]
            )
        )
    return drafts


def _blend(state: HotState, ask: Ask, found: Mapping[str, Found]) -> Blend:
    own, everybody = state.rewards.of(ask.pinner), state.rewards.everybody.copy()
    shares = drawn_shares(own, everybody, ask.choices.blending, ask.seed)
    return Blend({name: len(each) for name, each in found.items()}, shares, own, everybody)


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
    blend: Blend,
) -> Draft:
    size = choices.ordering.size
    question = _question(state, request.pinner, candidates.pins, facts, unsafe_above)
    left = kept(question, size)
    if np.count_nonzero(left.keep & ~left.repeats) < size:
        more = state.quality.leaders(choices.candidates, ask.now).pins
        added = np.setdiff1d(np.concatenate([more, state.catalogue.newest(choices.candidates)]), candidates.pins)
        if len(added):
            popular = True
            unscored = np.full((len(added), candidates.scores.shape[1]), np.nan, np.float32)
            candidates = Candidates(
                np.concatenate([candidates.pins, added]), np.concatenate([candidates.scores, unscored])
            )
            facts = state.catalogue.facts(candidates.pins)
            question = _question(state, request.pinner, candidates.pins, facts, unsafe_above)
            left = kept(question, size)
    return Draft(
        request=request,
        ask=ask,
        candidates=candidates.take(left.keep),
        facts=facts.take(left.keep),
        repeats=left.repeats[left.keep],
        dropped=left.dropped,
        popular=popular,
        blend=blend,
        merged=candidates,
        question=question,
        merged_facts=facts,
    )


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
