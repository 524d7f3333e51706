"""Event lines: the file format that `simulate` and `convert` write and `replay` reads.

One JSON object a line, ``{"topic": "saves", "key": 17, "event": {…}}``, in time order; plain, ``.gz`` or ``.zst``.
"""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import orjson
import zstandard

from operators.identity import stable_id

#: A file name that means standard input or output.
STANDARD = "-"


class Line(NamedTuple):
    """One event and where it goes. ``key`` is the pin for ``pins``, the acting pinner otherwise."""

    topic: str
    key: int | str
    event: dict[str, Any]

    def encode(self) -> bytes:
        """The line as it stands in a file, newline included."""
        return orjson.dumps(
            {"topic": self.topic, "key": self.key, "event": self.event}, option=orjson.OPT_APPEND_NEWLINE
        )

    def message(self) -> tuple[bytes, bytes]:
        """Kafka key (the id as decimal text) and value."""
        return str(stable_id(self.key)).encode(), orjson.dumps(self.event)


def decode_line(text: bytes, topic: str = "") -> Line:
    """Read one line; a bare event (no ``event`` field) needs ``topic``.

    Raises:
        ValueError: not a JSON object, no topic, or no usable key; the message says which.
    """
    read: object = orjson.loads(text)
    if not isinstance(read, dict):
        raise ValueError("not a JSON object")
    row = cast("dict[str, Any]", read)
    wrapped = isinstance(row.get("event"), dict)
    event = cast("dict[str, Any]", row["event"]) if wrapped else row
    name = row.get("topic", topic) if wrapped else topic
    if not isinstance(name, str) or not name:
        raise ValueError("no topic: give bare events one with --topic")
    key = row.get("key") if wrapped else None
    if key is None:
        key = event.get("pin" if name == "pins" else "pinner")
    if not isinstance(key, int | str) or isinstance(key, bool):
        raise ValueError("no key: the event names no pin or pinner")
    stable_id(key)
    return Line(name, key, event)


@contextmanager
def open_to_read(path: str) -> Generator[BinaryIO]:
    """Open an event file, unpacked on the fly; ``-`` is standard input. Raises OSError."""
    if path == STANDARD:
        yield sys.stdin.buffer
        return
    with Path(path).open("rb") as file:
        if path.endswith(".gz"):
            with gzip.open(file) as unpacked:
                yield cast(BinaryIO, unpacked)
        elif path.endswith(".zst"):
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as unpacked:
                yield cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, unpacked), 1 << 20))
        else:
            yield file


@contextmanager
def open_to_write(path: str) -> Generator[BinaryIO]:
    """Open an event file to write, packed by its name's ending; ``-`` is standard output. Raises OSError."""
    if path == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with Path(path).open("wb") as file:
        if path.endswith(".gz"):
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                yield cast(BinaryIO, packed)
        elif path.endswith(".zst"):
            with zstandard.ZstdCompressor(level=9).stream_writer(file) as packed:
                yield cast(BinaryIO, packed)
        else:
            yield file
