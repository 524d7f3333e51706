"""Explanation: a slate taken apart, in words and numbers, from what it was made from."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from operators.slate.candidates import SOURCES
from operators.slate.choices import Choices
from operators.slate.explain import DROPPED
from operators.slate.record import Record
from operators.slate.replay import Replayed
from operators.slate.slate import Probabilities


class SourceTold(msgspec.Struct, frozen=True):
    """One source: pins that it found, its share of each round, and how far its pins came.

    ``impressions`` and ``saves`` are those of the pinner that the share was drawn from.
    """

    name: str
    found: int
    share: int
    candidates: int
    kept: int
    places: int
    impressions: int
    saves: int


class FilterTold(msgspec.Struct, frozen=True):
    """One filter: why it drops, and every pin that it dropped."""

    name: str
    why: str
    pins: list[int]


class PlaceTold(msgspec.Struct, frozen=True):
    """One place. ``rank`` counts from 1 among the candidates that filters kept, by utility; ``without`` is the place
    without exploration, from 1, null for a pin that would not be there."""

    place: int
    pin: int
    why: str
    sources: dict[str, float]
    utility: float
    rank: int
    without: int | None
    propensity: float
    explored: bool
    probabilities: Probabilities | None
    features: dict[str, float | None]


class TraceLine(msgspec.Struct, frozen=True):
    """One node of the spec for one pin; ``terms`` are what each part of a sum adds."""

    name: str
    transform: str
    value: float | list[float | None] | int | str | None
    terms: dict[str, float]


class PinTold(msgspec.Struct, frozen=True):
    """What became of one pin, and, where it was a candidate that filters kept, how its utility came about.

    ``loses`` is what its utility would lose without each input.
    """

    pin: int
    why: str
    sources: dict[str, float] = {}
    utility: float | None = None
    rank: int | None = None
    probabilities: Probabilities | None = None
    features: dict[str, float | None] = {}
    trace: list[TraceLine] = []
    loses: dict[str, float] = {}


def sources_told(record: Record, again: Replayed) -> list[SourceTold]:
    """Every source, in its order."""
    header = record.header
    proposed, kept = ~np.isnan(record.candidates.scores), ~np.isnan(again.candidates.scores)
    placed = kept[again.places.rows]
    told: list[SourceTold] = []
    for row, name in enumerate(header.sources):
        at = SOURCES.index(name)
        told.append(
            SourceTold(
                name, header.found.get(name, 0), again.slate.shares[name], int(proposed[:, at].sum()),
                int(kept[:, at].sum()), int(placed[:, at].sum()), header.own[row][0], header.own[row][3],
            )
        )  # fmt: skip
    return told


def filters_told(again: Replayed) -> list[FilterTold]:
    """Every filter that dropped something, in their order."""
    return [FilterTold(name, DROPPED.get(name, name), pins.tolist()) for name, pins in again.kept.dropped.items()]


def ranks(again: Replayed) -> list[int]:
    """``(k,)``: how many candidates are worth more, and one."""
    ordered = np.sort(-again.worth)
    return (1 + np.searchsorted(ordered, -again.worth, side="left")).tolist()


def places_told(again: Replayed, names: Sequence[str]) -> list[PlaceTold]:
    """Every place; ``names`` are those of the features."""
    by_utility, base = ranks(again), again.places.base.tolist()
    told: list[PlaceTold] = []
    for place, (row, item) in enumerate(zip(again.places.rows.tolist(), again.slate.items, strict=True), 1):
        without = base.index(row) + 1 if row in base else None
        why = _why(place, by_utility[row], without, explored=item.explored, propensity=item.propensity)
        told.append(
            PlaceTold(
                place, item.pin, why, item.sources, item.score, by_utility[row], without, item.propensity,
                item.explored, item.probabilities, _features(again, row, names),
            )
        )  # fmt: skip
    return told


def row_of(again: Replayed, pin: int) -> int | None:
    """Where a pin stands among the candidates that filters kept."""
    found = np.flatnonzero(again.candidates.pins == pin)
    return int(found[0]) if len(found) else None


def pin_told(record: Record, again: Replayed, pin: int, names: Sequence[str]) -> PinTold:
    """What became of one pin; without the trace, which the spec gives."""
    for each in filters_told(again):
        if pin in each.pins and (row_of(again, pin) is None or each.name != "seen"):
            return PinTold(pin, f"Not in the slate: {each.why} (filter {each.name}).", _proposals(record, pin))
    row = row_of(again, pin)
    if row is None:
        return PinTold(pin, "Not in the slate: it was no candidate; no source proposed it, or none early enough.")
    by_utility, expected = ranks(again), record.probabilities
    placed = again.places.rows.tolist()
    if row in placed:
        why = places_told(again, names)[placed.index(row)].why
    elif not record.showable[row]:
        why = "Not in the slate: it was deleted, or judged unsafe, while the ranker was asked."
    elif row in again.places.base.tolist():
        why = "Not in the slate: an explored pin moved it off the end."
    else:
        why = (
            f"Not in the slate: {by_utility[row] - 1} of {len(again.candidates)} candidates are worth more, and those"
            " chosen are worth more or differ more from what stands above."
        )
    return PinTold(
        pin, why, again.candidates.sources_of(row), float(again.worth[row]), by_utility[row],
        None if expected is None else Probabilities(*expected[row].tolist()), _features(again, row, names),
    )  # fmt: skip


def told_in_words(record: Record, again: Replayed, difference: str) -> list[str]:
    """The slate in a few sentences."""
    header, slate = record.header, again.slate
    dropped = ", ".join(f"{name} {count}" for name, count in slate.dropped.items()) or "none"
    shares = ", ".join(f"{name} {share}" for name, share in slate.shares.items())
    ranker = slate.models.get("ranker")
    words = [
        f"Slate {slate.slate} for pinner {slate.pinner}, triggered by event {slate.trigger_event}:"
        f" {len(slate.items)} pins of {len(record.candidates)} candidates.",
        f"Sources shared the candidates {shares}, drawn with seed {slate.seed}.",
        f"Filters dropped: {dropped}; {len(again.candidates)} were left.",
        f"Scored by ranker {ranker} with spec {header.spec}."
        if ranker
        else f"Ordered by sources and quality, with spec {header.spec}: the ranker gave nothing that could be used.",
        f"Ordered by {header.choices.ordering.method} with strength {header.choices.ordering.strength:g};"
        f" {sum(item.explored for item in slate.items)} places were explored.",
    ]
    if slate.degraded:
        words.append(f"Made without: {', '.join(slate.degraded)}.")
    if slate.fallback:
        words.append(f"Filled up with: {', '.join(slate.fallback)}.")
    words.append(
        f"Made again it differs: {difference}." if difference else "Made again from its record, not a bit differs."
    )
    return words


def weights_told(choices: Choices) -> dict[str, float] | None:
    """The weights of ``slates.toml``; None where the spec's utility counts."""
    return None if choices.weights is None else msgspec.structs.asdict(choices.weights)


def _proposals(record: Record, pin: int) -> dict[str, float]:
    found = np.flatnonzero(record.candidates.pins == pin)
    return record.candidates.sources_of(int(found[0])) if len(found) else {}


def _features(again: Replayed, row: int, names: Sequence[str]) -> dict[str, float | None]:
    values: list[float] = again.features[row].tolist()
    return {name: value if value == value else None for name, value in zip(names, values, strict=True)}


def _why(place: int, rank: int, without: int | None, *, explored: bool, propensity: float) -> str:
    if explored:
        return (
            f"Explored: too few have seen this pin or its owner's pins. It stands {rank}. by utility, and had this"
            f" place with a probability of {propensity:.3g}."
        )
    how = f"Place {place}: {rank}. by utility"
    how += f", {without}. with diversity" if without != rank else ""
    return f"{how}. It stands here with a probability of {propensity:.3g}."
