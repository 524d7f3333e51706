"""Replay: a slate made again from its record, and where it differs from what went out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.slate.arrange import arranged
from operators.slate.blend import drawn_shares
from operators.slate.candidates import Candidates, Floats
from operators.slate.exploration import Places
from operators.slate.features import Signals
from operators.slate.filters import Kept, kept
from operators.slate.making import Made, items_of, seed_of, slate_of
from operators.slate.record import Record
from operators.slate.slate import Slate, decode, encode, with_features
from operators.slate.utility import Weights, unranked


class Spec(Protocol):
    """What is needed of a spec (``streams.slate_spec.SlateSpec``)."""

    def features(self, signals: Signals) -> Floats: ...
    def utility(self, signals: Signals, probabilities: Floats, weights: Weights | None = None) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """A slate made again, and what led to it; arrays of the ``k`` candidates that filters kept."""

    slate: Slate
    kept: Kept
    candidates: Candidates
    features: Floats
    worth: Floats
    places: Places


def replayed(record: Record, spec: Spec, probabilities: Floats | None = None) -> Replayed:
    """Every stage once more: filters, features, utility, ordering and exploration.

    Args:
        record: of the slate.
        spec: of the version that the record names.
        probabilities: ``(k, 4)`` in place of the recorded ones, such as the ranker's of today.

    Raises:
        RunError: a transform of the spec fails.
    """
    header, choices = record.header, record.header.choices
    left = kept(record.question, choices.ordering.size)
    candidates = record.candidates.take(left.keep)
    features = spec.features(record.signals)
    expected = record.probabilities if probabilities is None else probabilities
    if expected is None:
        worth = unranked(record.signals.quality, candidates.scores)
    else:
        worth = spec.utility(record.signals, expected, choices.weights)
    rows = np.flatnonzero(record.showable)
    seed = seed_of(header.pinner, header.trigger_event)
    again = _Kernels(record)
    places = arranged(
        worth[rows],
        again,
        record.question.owners[left.keep][rows],
        record.domains[left.keep][rows],
        left.repeats[left.keep][rows],
        record.newness.take(rows),
        rate=header.rate,
        seed=seed,
        choices=choices,
    )
    places = places.of(rows)
    said = decode(record.message)
    own, everybody = (np.array(each, np.int64) for each in (header.own, header.everybody))
    slate = slate_of(
        Made(said.trigger_logged, said.emitted, said.stages),
        pinner=header.pinner,
        trigger_event=header.trigger_event,
        now=header.now,
        items=items_of(candidates, places, worth, expected),
        repeats=left.repeats[left.keep][places.rows],
        popular=header.popular,
        models=header.models,
        degraded=header.degraded,
        shares=drawn_shares(own, everybody, choices.blending, seed, header.sources),
        dropped=left.dropped,
        explained=choices.explained,
    )
    if expected is not None:
        slate = with_features(slate, features[places.rows])
    return Replayed(slate, left, candidates, features, worth, places)


class _Kernels:
    """The recorded similarities, pool after pool; those of pins that were not chosen are unknown and stay 0."""

    def __init__(self, record: Record) -> None:
        self._near = iter(record.near)

    def __call__(self, pool: NDArray[np.intp]) -> Floats:
        kernel = np.zeros((len(pool), len(pool)), np.float32)
        chosen, rows = next(self._near, (np.zeros(0, np.int32), np.zeros((0, len(pool)), np.float32)))
        if rows.shape[1] == len(pool):
            kernel[:, chosen] = rows.T
            kernel[chosen] = rows
        np.fill_diagonal(kernel, 1.0)
        return kernel


def first_difference(said: bytes, again: Slate) -> str:
    """Where a slate made again differs from the message that went out; empty where not one bit does."""
    if encode(again) == said:
        return ""
    before, after = msgspec.json.decode(said), msgspec.json.decode(encode(again))
    return _difference(before, after, "") or "the same values are written otherwise"


def _difference(before: Any, after: Any, at: str) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(each for each in after if each not in before)]:
            where = f"{at}.{name}" if at else str(name)
            if name not in before or name not in after:
                return f"{where}: only in {'what went out' if name in before else 'the replay'}"
            if found := _difference(before[name], after[name], where):
                return found
        return "" if list(before) == list(after) else f"{at or 'the slate'}: in another order"
    if isinstance(before, list) and isinstance(after, list):
        for number, (one, other) in enumerate(zip(before, after, strict=False)):
            if found := _difference(one, other, f"{at}[{number}]"):
                return found
        return "" if len(before) == len(after) else f"{at}: {len(before)} went out, {len(after)} in the replay"
    return "" if before == after else f"{at}: {before!r} went out, {after!r} in the replay"
