"""Choices: every number of a slate that people may turn, with its default."""

from __future__ import annotations

import msgspec

from operators.slate.blend import Blending
from operators.slate.exploration import Exploration
from operators.slate.ordering import Ordering
from operators.slate.utility import Weights

DAY_MS = 86_400_000


class Recording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which slates it is kept what they were made from, so that they can be explained and replayed."""

    #: Share of slates, chosen by their ids; 0 keeps none.
    share: float = 1.0
    #: Slates a second of one worker, at most, over a minute: some 70 kB each with 1,000 candidates.
    per_second: float = 1.0
    #: Days until ClickHouse lets it go.
    days: float = 2.0


class Choices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How slates are made. Times of stages are budgets in seconds: what takes longer is left out and named."""

    #: In place of the utility of the spec (``streams/feed.linchpin``), where given.
    weights: Weights | None = None
    ordering: Ordering = Ordering()
    blending: Blending = Blending()
    exploration: Exploration = Exploration()
    recording: Recording = Recording()
    #: Candidates that are filtered and scored for one slate.
    candidates: int = 1000
    #: As many while a crowd of pinners waits, without the sources that cost most.
    busy_candidates: int = 300
    busy_without: tuple[str, ...] = msgspec.field(default_factory=lambda: ("together", "interests", "pinsage"))
    #: Pins that one source may propose.
    source_limit: int = 400
    #: The latest saves that sources start from.
    seeds: int = 10
    #: Milliseconds of stream time after which a save counts half.
    seed_half_life: int = 7 * DAY_MS
    #: Neighbours that Milvus finds for each seed.
    neighbours: int = 60
    #: Steps of the random walks of one slate, some 0.1 ms a thousand; in a crowd fewer, as of candidates.
    walk_steps: int = 10_000
    source_seconds: float = 0.300
    vectors_seconds: float = 0.200
    rank_seconds: float = 0.400
    #: Dropped pins that a slate remembers by name, for ``explain``.
    explained: int = 40
