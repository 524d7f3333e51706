"""The engine: everything an agent, the API or the slate builder needs, made once per worker."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from streams.gathering import Gathering
from streams.pace import Pace

if TYPE_CHECKING:
    from streams.encoders.following import Encoders
    from streams.engagement_writer import EngagementWriter
    from streams.erasure import Erased
    from streams.feed_schedule import FeedSchedule
    from streams.learned_keeping import Keeping
    from streams.ledger import Ledger
    from streams.metrics import Metrics
    from streams.pinsage import PinSage
    from streams.settings import Settings
    from streams.slate_writer import SlateWriter
    from streams.state import HotState
    from streams.stores.protocols import EventStore, Models, VectorStore
    from streams.tail import Folded
    from streams.vector_cache import VectorCache


class Outputs(Protocol):
    """Where agents send what they emit. Sent is not yet safe; flushed is."""

    def send(self, topic: str, key: int, value: bytes) -> None:
        """Queue one message, keyed by an id. Never blocks."""
        ...

    async def flush(self) -> None:
        """Wait until the broker holds everything sent before. Raises StoreUnavailable when it cannot."""
        ...

    async def close(self) -> None: ...


@dataclass
class Engine:
    """One worker's parts. ``state`` is a cache of what ``events`` (ClickHouse) holds.

    ``vectors``, ``models`` and ``vector_cache`` are of the encoder that serves and change together: what needs more
    than one of them, or one twice, begins with :func:`as_it_serves`.
    """

    settings: Settings
    metrics: Metrics
    events: EventStore
    vectors: VectorStore
    models: Models
    outputs: Outputs
    state: HotState
    folded: Folded
    erased: Erased
    ledger: Ledger
    writer: EngagementWriter
    slate_writer: SlateWriter
    schedule: FeedSchedule
    vector_cache: VectorCache
    #: Partitions (``topic:partition``) that stand still, and why their next batch cannot be read.
    corrupt: dict[str, str] = field(default_factory=dict[str, str])
    pace: Pace = field(default_factory=Pace)
    gathering: Gathering = field(default_factory=Gathering)
    #: The model that made the vectors, and all that there are; None where none can take its place.
    encoder: str = "encoder"
    encoders: Encoders | None = None
    #: What keeps in a file what was learned; None where nothing is kept.
    keeping: Keeping | None = None
    #: Vectors of neighbourhoods; None where they are switched off.
    pinsage: PinSage | None = None


def as_it_serves(engine: Engine) -> Engine:
    """The engine with the encoder of this moment, whichever takes its place meanwhile. Everything else is shared."""
    return copy.copy(engine)
