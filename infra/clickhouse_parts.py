"""Parts on disk: what their names say, and whether their files are as long as their checksums say.

Read off chdb 4.4.0 (ClickHouse 26.9). A part is a folder ``<partition>_<first block>_<last block>_<level>``, with
``_<mutation>`` when it was changed, and never changes once it has this name. Its ``checksums.txt`` lists its files with
their sizes; ClickHouse reads that when it starts, but does not compare the sizes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import lz4.block
import zstandard

_NAME = re.compile(r"^(?P<partition>[^_]+)_(?P<first>\d+)_(?P<last>\d+)_(?P<level>\d+)(_(?P<mutation>\d+))?$")
_CHECKSUMS = b"checksums format version: 4\n"
#: Bytes of a compressed frame: a hash, then method, packed size (with these nine bytes) and size.
_HASH, _FRAME = 16, 9
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90


class Part(NamedTuple):
    name: str
    partition: str
    first: int
    last: int
    #: (mutation, level): grows along the parts that were made of each other.
    age: tuple[int, int]

    def covers(self, other: Part) -> bool:
        """Does it stand in for ``other``?"""
        return (
            self.name != other.name
            and self.partition == other.partition
            and self.first <= other.first
            and other.last <= self.last
            and self.age >= other.age
        )


def part(name: str) -> Part | None:
    """The part of that name; None for every other folder, temporary ones among them."""
    found = _NAME.match(name)
    if not found:
        return None
    age = (int(found["mutation"] or 0), int(found["level"]))
    return Part(name, found["partition"], int(found["first"]), int(found["last"]), age)


def parts(table: Path) -> list[Part]:
    """The parts of a table's folder."""
    return [named for entry in table.iterdir() if (named := part(entry.name))]


def is_whole(folder: Path) -> bool:
    """Are all files of a part there, each as long as its checksums say, and none empty that has no checksum?

    A part that is removed meanwhile is whole: nobody needs it. Contents are not read.
    """
    try:
        listed = _sizes((folder / "checksums.txt").read_bytes())
        found = {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}
    except FileNotFoundError:
        return not folder.exists()
    except (ValueError, IndexError, lz4.block.LZ4BlockError, zstandard.ZstdError):
        return False
    if listed is None:
        return True
    wrong = any(found.get(name) != size for name, size in listed.items() if not name.endswith(".proj"))
    empty = any(size == 0 for name, size in found.items() if name not in listed)
    return not (wrong or empty) or not folder.exists()


def _sizes(checksums: bytes) -> dict[str, int] | None:
    """File → size. None: another format, of which nothing can be said. Raises what broken bytes raise."""
    if not checksums.startswith(_CHECKSUMS):
        if checksums.startswith(b"checksums format version: "):
            return None
        raise ValueError("checksums.txt has no head")
    body, at = _unpacked(checksums[len(_CHECKSUMS) :]), 0
    count, at = _number(body, at)
    sizes: dict[str, int] = {}
    for _ in range(count):
        length, at = _number(body, at)
        name = body[at : at + length].decode()
        sizes[name], at = _number(body, at + length)
        at += _HASH
        packed, at = body[at], at + 1
        if packed:  # the size and the hash of what was packed
            _, at = _number(body, at)
            at += _HASH
    return sizes


def _unpacked(frames: bytes) -> bytes:
    pieces: list[bytes] = []
    while frames:
        method = frames[_HASH]
        packed = int.from_bytes(frames[_HASH + 1 : _HASH + 5], "little")
        size = int.from_bytes(frames[_HASH + 5 : _HASH + _FRAME], "little")
        data = frames[_HASH + _FRAME : _HASH + packed]
        if method == _LZ4:
            pieces.append(lz4.block.decompress(data, uncompressed_size=size))
        elif method == _ZSTD:
            pieces.append(zstandard.ZstdDecompressor().decompress(data, max_output_size=size))
        elif method == _NONE:
            pieces.append(data)
        else:
            raise ValueError(f"unknown method {method:#x}")
        frames = frames[_HASH + packed :]
    return b"".join(pieces)


def _number(body: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte, at = body[at], at + 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
