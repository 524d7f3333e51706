"""A file of arrays that is whole or worthless: written beside its old self, checked before anything of it is believed.

``PSLEARN1``, the length of the head (8 bytes, little-endian), the head (JSON: what the writer says, and each column's
type and shape), the columns one after another, and the CRC-32 of all that (4 bytes).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

MAGIC = b"PSLEARN1"
Views = Mapping[str, NDArray[Any]]
#: Bytes that are copied, summed and written at a time; Python's lock is held for the copy alone.
PIECE = 1 << 20
_CRC = 4
_BEFORE_HEAD = len(MAGIC) + 8


class Unusable(Exception):
    """The file is not what was written; the message says why."""


class Column(msgspec.Struct, frozen=True):
    """Where a column is: ``dtype``, shape, and its first byte in the file."""

    dtype: str
    shape: tuple[int, ...]
    at: int


class Columns(Mapping[str, NDArray[Any]]):
    """Columns of a file, each copied when it is asked for."""

    def __init__(self, data: mmap.mmap | bytes, columns: Mapping[str, Column]) -> None:
        self._data, self._columns = data, columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        of = self._columns[name]
        flat = np.frombuffer(self._data, of.dtype, prod(of.shape), of.at)
        return flat.reshape(of.shape).copy()

    def part(self, prefix: str) -> Columns:
        """Those whose names begin so, by what follows."""
        named = {name: each for name, each in self._columns.items() if name.startswith(prefix)}
        return Columns(self._data, {name.removeprefix(prefix): each for name, each in named.items()})

    def kinds(self) -> dict[str, tuple[str, int]]:
        """Type and dimensions of each."""
        return {name: (each.dtype, len(each.shape)) for name, each in self._columns.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def write(path: Path, said: Mapping[str, Any], columns: Views) -> int:
    """Put ``said`` and the columns in the place of the file; returns its bytes. Raises OSError, and the old one stays.

    Columns may be written to meanwhile: the file then holds some of both.
    """
    size = sum(column.nbytes for column in columns.values())
    # The head is as long as with the largest places, as it says them itself.
    length = len(_head(said, columns, size + 10**9))
    head = _head(said, columns, _BEFORE_HEAD + length).ljust(length)
    partial = unfinished(path)
    checksum = written = 0
    try:
        with partial.open("wb") as file:
            for piece in chain((MAGIC, length.to_bytes(8, "little"), head), _pieces(columns)):
                checksum = crc32(piece, checksum)
                written += file.write(piece)
            file.write(checksum.to_bytes(_CRC, "little"))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return written + _CRC


def unfinished(path: Path) -> Path:
    """Where the file is until it is whole: what is there belongs to who writes, or to a writer that was killed."""
    return path.with_suffix(".part")


def read(path: Path) -> tuple[dict[str, Any], Columns]:
    """What was said, and the columns. Raises Unusable, and OSError (FileNotFoundError where there is none)."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _BEFORE_HEAD + _CRC:
            raise Unusable(f"it has {size} bytes only")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if data[: len(MAGIC)] != MAGIC:
        raise Unusable("it does not begin as such a file does")
    checksum = 0
    for at in range(0, size - _CRC, PIECE):
        checksum = crc32(data[at : min(at + PIECE, size - _CRC)], checksum)
    if checksum != int.from_bytes(data[size - _CRC :], "little"):
        raise Unusable("it was cut short or changed: its checksum is another")
    # From here on all is as it was written.
    length = int.from_bytes(data[len(MAGIC) : _BEFORE_HEAD], "little")
    head = msgspec.json.decode(data[_BEFORE_HEAD : _BEFORE_HEAD + length])
    return head["said"], Columns(data, msgspec.convert(head["columns"], dict[str, Column]))


def _head(said: Mapping[str, Any], columns: Views, begin: int) -> bytes:
    placed: dict[str, Column] = {}
    for name, column in columns.items():
        placed[name] = Column(column.dtype.str, column.shape, begin)
        begin += column.nbytes
    return msgspec.json.encode({"said": said, "columns": placed})


def _pieces(columns: Views) -> Iterator[bytes]:
    for column in columns.values():
        for part in _contiguous(column):
            flat = part.reshape(-1).view(np.uint8)
            for at in range(0, len(flat), PIECE):
                yield flat[at : at + PIECE].tobytes()


def _contiguous(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The array in order, in parts that lie as they are written."""
    if array.flags.c_contiguous:
        yield array
    else:
        for row in array:
            yield from _contiguous(row)
