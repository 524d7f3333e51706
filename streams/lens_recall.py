"""Photos seen a moment ago: dragging a box back, or asking for more, need not look again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from hashlib import blake2b

from streams.lens_photo import Photo
from streams.lens_query import Query, understood
from streams.stores.protocols import Models, StoreUnavailable

#: Photos, at 9 kB each with nine vectors of 256 floats.
CAPACITY = 256
#: How old what Triton says of its versions may be, in seconds.
VERSIONS_SECONDS = 1.0


class Recall:
    """Understanding of the latest photos, by their pixels and by the models that looked."""

    def __init__(self, models: Models, capacity: int = CAPACITY) -> None:
        self._models, self._capacity = models, capacity
        self._versions: dict[str, str] = {}
        self._held: OrderedDict[bytes, Query] = OrderedDict()

    async def understood(self, photo: Photo) -> tuple[Query, dict[str, str], bool]:
        """The understanding of a photo, the models that looked, and whether it was remembered.

        A photo that is remembered is answered without Triton, too.

        Raises:
            ImageRejected, StoreUnavailable: as :func:`streams.lens_query.understood`.
        """
        try:
            versions = await self._models.versions(VERSIONS_SECONDS)
            self._versions = {name: versions[name] for name in ("detector", "encoder") if name in versions}
        except StoreUnavailable:
            pass  # the encoder's own error says it better; what is remembered needs no model
        # In a thread: a large photo takes some milliseconds, in which nobody else would be served.
        looked = self._versions
        key = await asyncio.to_thread(_key, photo, looked)
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            return held, looked, True
        query = await understood(self._models, photo)
        if not query.left_out:
            self._held[key] = query
            while len(self._held) > self._capacity:
                self._held.popitem(last=False)
        return query, looked, False


def _key(photo: Photo, versions: dict[str, str]) -> bytes:
    told = repr((photo.box, photo.pixels.shape, sorted(versions.items()))).encode()
    return blake2b(photo.pixels.tobytes(), digest_size=16, salt=blake2b(told, digest_size=16).digest()).digest()
