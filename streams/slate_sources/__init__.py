"""Where candidates come from. A source takes all pinners of a batch at once and finds pins for each.

A new source is a new callable in :data:`SOURCES`, and its name at the end of ``operators.slate.candidates.SOURCES``.
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.slate_sources.ask import Source
from streams.slate_sources.memory import boards, followed, fresh, next_actions, together, topics, trending, walks
from streams.slate_sources.nearest import interests, pinsage, visual

SOURCES: Mapping[str, Source] = {
    **{
        each.__name__: each for each in (visual, boards, trending, fresh, followed, walks, pinsage, together, interests)
    },
    "next": next_actions,
    "topics": topics,
}
#: The others ask memory alone.
ASK_MILVUS = frozenset({"visual", "pinsage", "interests"})
