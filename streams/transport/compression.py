"""The codecs of Kafka's record batches, decompressed into one standing buffer, so that no bytes can blow up memory."""

from __future__ import annotations

import struct
from collections.abc import Callable

import cramjam
import numpy as np

#: The most bytes of one batch, decompressed. Brokers take about 1 MB unless told otherwise.
LARGEST_BATCH = 128 << 20
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16


class BadCompression(ValueError):
    """memoryview that their codec cannot read, or that grow beyond :data:`LARGEST_BATCH`."""


class Decompressor:
    """Decompresses one batch after another; not for several threads at once."""

    def __init__(self) -> None:
        # Only what a batch really fills is ever backed by memory.
        self._out = np.empty(LARGEST_BATCH, np.uint8).data

    def decompress(self, codec: int, payload: memoryview) -> memoryview:
        """The bytes of a batch whose attributes name this codec (1 to 4), good until the next call.

        Raises :class:`BadCompression`.
        """
        try:
            return self._out[: _CODECS[codec](payload, self._out)]
        except (cramjam.DecompressionError, struct.error) as error:
            raise BadCompression(f"{_CODECS[codec].__name__.strip('_')}: {error}") from error


def _gzip(payload: memoryview, out: memoryview) -> int:
    return cramjam.gzip.decompress_into(payload, out)


def _snappy(payload: memoryview, out: memoryview) -> int:
    """Snappy, bare (librdkafka) or in the blocks of Java's xerial library."""
    if bytes(payload[: len(_XERIAL)]) != _XERIAL:
        return cramjam.snappy.decompress_raw_into(payload, out)
    place, used = _XERIAL_HEADER, 0
    while place < len(payload):
        (length,) = struct.unpack_from(">i", payload, place)
        place += 4
        if not 0 <= length <= len(payload) - place:
            raise BadCompression(f"snappy: a block of {length} bytes where {len(payload) - place} are left")
        used += cramjam.snappy.decompress_raw_into(payload[place : place + length], out[used:])
        place += length
    return used


def _lz4(payload: memoryview, out: memoryview) -> int:
    return cramjam.lz4.decompress_into(payload, out)


def _zstd(payload: memoryview, out: memoryview) -> int:
    return cramjam.zstd.decompress_into(payload, out)


_CODECS: dict[int, Callable[[memoryview, memoryview], int]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
