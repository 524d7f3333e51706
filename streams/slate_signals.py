"""What the hot state knows of a pinner's candidates. Slates and the ranker's training rows both come through here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.catalogue import Facts
from operators.relevance import SAVES, taste
from operators.slate.candidates import Candidates, Floats
from operators.slate.choices import Choices
from operators.slate.exploration import Newness
from operators.slate.features import Signals
from streams.slate_sources.ask import Ask
from streams.state import HotState
from streams.vector_cache import VectorCache


def ask_of(state: HotState, cache: VectorCache, pinner: int, now: int, choices: Choices, seed: int = 0) -> Ask:
    """What sources start from. Vectors are those that the cache holds: :meth:`VectorCache.load` them before."""
    saves = state.recent.saved(pinner, SAVES)
    pins, first = np.unique(saves.pins, return_index=True)
    latest = np.sort(first)
    pins, times = saves.pins[latest], saves.times[latest]
    weights = np.exp2(-np.maximum(now - times, 0) / choices.seed_half_life)
    vectors = cache.held(pins)[0]
    wish = taste(times, vectors)  # rows of zeros add nothing, and its length does not matter
    wish /= max(float(np.linalg.norm(wish)), 1e-12)
    seeds = slice(0, choices.seeds)
    return Ask(
        pinner, now, pins[seeds], weights[seeds], vectors[seeds],
        wish.astype(np.float32), float(weights.sum()), choices, seed,
    )  # fmt: skip


def signals(
    state: HotState,
    asks: Sequence[Ask],
    candidates: Sequence[Candidates],
    facts: Facts,
    closeness: Sequence[tuple[Floats, Floats]],
) -> Signals:
    """The first of :func:`known_of`, for whoever does not explore."""
    return known_of(state, asks, candidates, facts, closeness)[0]


def known_of(
    state: HotState,
    asks: Sequence[Ask],
    candidates: Sequence[Candidates],
    facts: Facts,
    closeness: Sequence[tuple[Floats, Floats]],
) -> tuple[Signals, Newness]:
    """What is known of the candidates of several pinners at one moment, and how much was seen of each.

    ``facts`` are those of all candidates, ``(n,)``; ``closeness`` is that of :func:`relevances` for each slate.

    Raises:
        ValueError: the asks are of different moments.
    """
    if len({ask.now for ask in asks}) != 1:
        raise ValueError("slates that are made together are of one moment")
    now, counts = asks[0].now, [len(each) for each in candidates]
    pins = np.concatenate([each.pins for each in candidates])
    n, pinners = len(pins), np.repeat(np.array([ask.pinner for ask in asks]), counts)
    owners, domains, created = facts.owners, facts.domains, facts.created
    quality, posted = state.quality.pins(pins, now), state.quality.owners(owners, now)
    shown, exposure = quality.exposure > 0, quality.exposure.astype(np.float32)
    known = Signals(
        quality=_where(shown, quality.all),
        quality_followers=_where(shown, quality.followers),
        quality_wider=_where(shown, quality.wider),
        exposure=exposure,
        owner_quality=_where(owners != 0, posted.quality),
        domain_quality=_where(domains != 0, state.quality.domains(domains, now)),
        relevance=np.concatenate([relevance for relevance, _ in closeness]),
        nearest=np.concatenate([nearest for _, nearest in closeness]),
        age=_where(created > 0, now - created),
        follows=state.follows.follows(pinners, owners).astype(np.float32),
        activity=np.repeat(np.array([ask.activity for ask in asks], np.float32), counts),
        now=np.full(n, now, np.int64),
        scores=np.concatenate([each.scores for each in candidates]),
    )
    return known, Newness(exposure, _where(owners != 0, posted.exposure), quality.earned.astype(np.float32))


def relevances(ask: Ask, cache: VectorCache, pins: Ints) -> tuple[Floats, Floats]:
    """``(relevance, nearest)``, ``(n,)`` each: cosine with the pinner's taste and with the nearest of their seeds.

    Vectors are those that the cache holds: :meth:`VectorCache.load` them before.
    """
    relevance, nearest = np.full((2, len(pins)), np.nan, np.float32)
    if not ask.taste.any():
        return relevance, nearest
    seeds = ask.vectors[ask.vectors.any(axis=1)]
    cosines = cache.cosines(pins, np.concatenate([ask.taste[None], seeds]))
    return cosines[:, 0], cosines[:, 1:].max(axis=1) if len(seeds) else nearest


def _where(known: NDArray[np.bool_], values: NDArray[np.float64] | Ints) -> Floats:
    return np.where(known, values, np.nan).astype(np.float32)
