"""Load the images of many pins at once; one that fails is an outcome, not an error of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streams.images.decode import decode
from streams.images.fetch import ImageFetcher
from streams.images.fitting import Pixels
from streams.images.rejection import ImageRejected
from streams.settings import Settings

#: Images under way at once: enough that a slow host holds up few others, few enough to be held in memory.
AT_ONCE = 16


async def load_images(settings: Settings, references: Sequence[str | None]) -> list[Pixels | ImageRejected | None]:
    """The RGB pixels behind each reference, or why there are none; None stays None."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def load(fetcher: ImageFetcher, reference: str | None) -> Pixels | ImageRejected | None:
        if not reference:
            return None
        try:
            async with slots:
                return await decode(await fetcher.fetch(reference))
        except ImageRejected as rejected:
            return rejected

    async with ImageFetcher(settings) as fetcher:
        return await asyncio.gather(*(load(fetcher, reference) for reference in references))
