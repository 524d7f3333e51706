"""Rows of ClickHouse's table ``slates``: what was shown where and why, for learning and for building it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from operators.slate.slate import Slate, features_of


def rows(slates: Sequence[Slate]) -> Mapping[str, Sequence[Any]]:
    """Columns of ``slates``. The arrays have one entry for each place; without a ranker a place has no probabilities.

    ``versions`` and ``stages`` are JSON; ``sources`` names a place's sources, joined by commas.
    """
    return {
        "slate": [each.slate for each in slates],
        "pinner": [each.pinner for each in slates],
        "trigger_event": [each.trigger_event for each in slates],
        "trigger_logged": [each.trigger_logged for each in slates],
        "emitted": [each.emitted for each in slates],
        "positions": [list(range(len(each.items))) for each in slates],
        "pins": [[item.pin for item in each.items] for each in slates],
        "sources": [[",".join(item.sources) for item in each.items] for each in slates],
        "scores": [[item.score for item in each.items] for each in slates],
        "probabilities": [[_probabilities(item.probabilities) for item in each.items] for each in slates],
        "propensities": [[item.propensity for item in each.items] for each in slates],
        "explored": [[int(item.explored) for item in each.items] for each in slates],
        "degraded": [each.degraded for each in slates],
        "versions": [msgspec.json.encode(each.models).decode() for each in slates],
        "seed": [each.seed for each in slates],
        "features": [features_of(each).tolist() for each in slates],
        "stages": [msgspec.json.encode(each.stages).decode() for each in slates],
    }


def _probabilities(given: msgspec.Struct | None) -> list[float]:
    return [] if given is None else list(msgspec.structs.astuple(given))
