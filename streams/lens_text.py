"""Image search: what was seen in a photo, in words, searched for among the words of pins."""

from __future__ import annotations

from streams.engine import Engine
from streams.lens_objects import ObjectHit
from streams.lens_photo import WHOLE
from streams.lens_query import Query
from streams.text_search import taste_of, text_search


async def text(engine: Engine, query: Query, pinner: int, k: int) -> list[ObjectHit]:
    """Pins whose words are what the photo shows, by the pinner's taste; none where nothing has a name."""
    taste = await taste_of(engine, pinner) if pinner else None
    found = await text_search(engine, query.phrases, k, taste)
    return [
        ObjectHit(pin, 0, "", 1.0, WHOLE, score, 0)
        for pin, score in zip(found.pins.tolist(), found.scores.tolist(), strict=True)
    ]
