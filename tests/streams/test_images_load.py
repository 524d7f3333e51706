"""Loading many pictures: in threads, a bounded number at once, while the event loop serves others."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from streams.images import decode as decoding
from streams.images.load import AT_ONCE, load_images
from streams.images.rejection import ImageRejected
from streams.settings import PROJECT, Settings

PHOTOS = sorted((PROJECT / "examples" / "sample" / "photos").glob("*.jpg"))[: 3 * AT_ONCE]


async def test_while_pictures_are_decoded_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding is held up at a gate; had it been on the loop, the loop would not come to open it."""
    gate, threads, real = threading.Event(), set[threading.Thread](), decoding.decode_now

    def held_up(content: bytes):
        threads.add(threading.current_thread())
        assert gate.wait(60), "nobody came to open"
        return real(content)

    monkeypatch.setattr(decoding, "decode_now", held_up)
    loading = asyncio.create_task(load_images(Settings(), [f"file:{photo}" for photo in PHOTOS]))
    while not threads:
        await asyncio.sleep(0.01)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not loading.done()
    gate.set()
    found = await loading
    assert len(found) == len(PHOTOS) and not any(isinstance(one, ImageRejected) for one in found)
    assert threading.current_thread() not in threads and len(threads) <= (os.cpu_count() or 1)


async def test_outcomes_keep_their_places() -> None:
    references = [f"file:{PHOTOS[0]}", None, "file:examples/sample/photos/none.jpg", f"file:{PHOTOS[1]}"]
    first, nothing, missing, last = await load_images(Settings(), references)
    assert nothing is None and isinstance(missing, ImageRejected)
    assert first is not None and last is not None and first.shape != () and last.shape != ()
