"""Photos seen a moment ago: dragging a box back, or asking for more, need not look again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from hashlib import blake2b
from time import perf_counter
from weakref import WeakKeyDictionary

from streams.images.decode import decode
from streams.lens_photo import Photo, Sent, cut
from streams.lens_query import Query, understood
from streams.stores.protocols import Models, StoreUnavailable

#: Photos, at 9 kB each with nine vectors of 256 floats.
CAPACITY = 256
#: How old what Triton says of its versions may be, in seconds.
VERSIONS_SECONDS = 1.0
#: Models that look at a photo.
LOOKS = ("detector", "encoder", "safety")


class _Seen:
    """What one set of models has seen, and its versions when it was last asked."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.held: OrderedDict[bytes, Query] = OrderedDict()


class Recall:
    """Understanding of the latest photos, by their content and by the models that looked."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        # Apart for each encoder: what one saw while Triton is gone must not be searched for in the index of another.
        self._seen: WeakKeyDictionary[Models, _Seen] = WeakKeyDictionary()

    async def understood(self, models: Models, photo: Photo | Sent) -> tuple[Query, dict[str, str], bool]:
        """The understanding of a photo, the models that looked, and whether it was remembered.

        A photo that is remembered is answered without Triton, too, and is not decoded again.

        Raises:
            ImageRejected: it cannot be decoded, or the encoder refuses it.
            StoreUnavailable: as :func:`streams.lens_query.understood`.
        """
        seen = self._seen.setdefault(models, _Seen())
        try:
            versions = await models.versions(VERSIONS_SECONDS)
            seen.versions = {name: versions[name] for name in LOOKS if name in versions}
        except StoreUnavailable:
            pass  # the encoder's own error says it better; what is remembered needs no model
        # In a thread: a large photo takes some milliseconds, in which nobody else would be served.
        looked = seen.versions
        key = await asyncio.to_thread(_key, photo, looked)
        held = seen.held.get(key)
        if held is not None:
            seen.held.move_to_end(key)
            return held, looked, True
        query = await _looked_at(models, photo)
        if not query.left_out:
            seen.held[key] = query
            while len(seen.held) > self._capacity:
                seen.held.popitem(last=False)
        return query, looked, False


async def _looked_at(models: Models, photo: Photo | Sent) -> Query:
    if isinstance(photo, Photo):
        return await understood(models, photo)
    began = perf_counter()
    pixels = await decode(photo.content)
    decoded = round((perf_counter() - began) * 1000, 3)
    query = await understood(models, cut(pixels, photo.box))
    return replace(query, milliseconds={"decode": decoded, **query.milliseconds})


def _key(photo: Photo | Sent, versions: dict[str, str]) -> bytes:
    """Of the picture as it was sent, or of its pixels; the two are never taken for each other."""
    shape = photo.pixels.shape if isinstance(photo, Photo) else ()
    told = repr((photo.box, shape, sorted(versions.items()))).encode()
    content = photo.pixels.tobytes() if isinstance(photo, Photo) else photo.content
    return blake2b(content, digest_size=16, salt=blake2b(told, digest_size=16).digest()).digest()
