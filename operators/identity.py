"""Ids: one stable mapping from anything a producer sends to a 63-bit integer."""

from __future__ import annotations

from hashlib import blake2b

#: Ids are positive and fit a signed 64-bit integer, because Milvus keys and Kafka tools are signed.
MAX_ID = 2**63 - 1


def stable_id(value: int | str) -> int:
    """Map an id to an integer in ``1 … 2**63 - 1``.

    Integers in that range stand for themselves. A string of decimal digits in that range is that
    integer. Any other string maps to the first eight bytes (big-endian) of its BLAKE2b-64 digest
    with the top bit cleared, 0 replaced by 1. The mapping never changes: it names rows that are
    already stored.

    Raises:
        ValueError: an integer out of range, or an empty string.
    """
    if isinstance(value, int):
        if not 1 <= value <= MAX_ID:
            raise ValueError(f"id {value} is not in 1 … 2**63-1")
        return value
    if not value:
        raise ValueError("an id may not be empty")
    if len(value) <= 19 and value.isascii() and value.isdigit() and 1 <= int(value) <= MAX_ID:
        return int(value)
    digest = int.from_bytes(blake2b(value.encode(), digest_size=8).digest(), "big")
    return (digest & MAX_ID) or 1


def combined_id(*parts: int | str) -> int:
    """One id for several parts, e.g. an object by ``(pin, index)``. Order matters."""
    return stable_id("\x1f".join(str(part) for part in parts) + "\x1f")
