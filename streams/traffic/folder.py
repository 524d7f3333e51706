"""Pins of one's own: a folder of pictures, or a file of pins in JSON lines, as events of the topic ``pins``."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from hashlib import blake2b
from mimetypes import guess_type
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from operators.events import VERSION
from operators.identity import stable_id
from streams.images.fetch import MOST_BYTES
from streams.traffic.lines import decode_line, open_to_read

#: What the engine reads, by the names that such files have.
ENDINGS = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp"})
#: Characters of a title.
LONGEST_TITLE = 200


class Found(NamedTuple):
    """A pin to be: ``source`` says where it was found, ``file`` is its picture's where that is on this machine.

    An event that had no time of its own has none yet.
    """

    pin: int
    source: str
    event: dict[str, Any]
    file: Path | None = None


class Unread(NamedTuple):
    """A file or line that no pin can be made of, with a reason code and a detail."""

    source: str
    reason: str
    detail: str


def pictures(folder: Path, **fields: Any) -> Iterator[Found | Unread]:
    """A pin for each picture below ``folder``, in the order of their paths.

    Its id is a hash of the picture's bytes: the same picture is the same pin, wherever it lies and however often it is
    found. Hidden files and those that are not called as pictures are passed over. ``fields`` go into every event.
    """
    for path in _files(folder):
        try:
            pin = _identity(path)
        except OSError as error:
            yield Unread(str(path), "unreadable_file", error.strerror or str(error))
            continue
        event = {"pin": pin, "type": "created", "v": VERSION, "title": title(path), "image": reference(path)}
        yield Found(pin, str(path), event | fields, path)


def lines(file: Path, **fields: Any) -> Iterator[Found | Unread]:
    """The pins of a file of JSON lines: events of the topic ``pins``, bare or as ``replay`` reads them.

    An ``image`` without a scheme is a path beside the file. Raises OSError when the file cannot be read.
    """
    with open_to_read(str(file)) as opened:
        for number, text in enumerate(opened, 1):
            source = f"{file}, line {number}"
            if text.isspace():
                continue
            try:
                line = decode_line(text, "pins")
                if line.topic != "pins":
                    raise ValueError(f"an event of the topic {line.topic!r}, not of pins")
                pin = stable_id(line.key)
            except ValueError as error:
                yield Unread(source, "bad_line", str(error))
                continue
            event = {"type": "created", "v": VERSION} | fields | line.event | {"pin": pin}
            image, beside = event.get("image"), None
            if isinstance(image, str) and image and ":" not in image:
                beside = file.parent / image
                event["image"] = reference(beside)
            yield Found(pin, source, {"pin": pin} | event, beside)


def title(path: Path) -> str:
    """A file's name as words: ``red-summer_dress.jpg`` is ``red summer dress``."""
    words = path.stem.replace("_", " ").replace("-", " ").split()
    # A name in some other encoding has no text of its own.
    return " ".join(words).encode(errors="replace").decode()[:LONGEST_TITLE]


def reference(path: Path) -> str:
    """A picture's address for the engine's fetcher."""
    return "file://" + quote(os.fsencode(path.absolute()))


def inline(path: Path) -> str:
    """The picture itself as an address (RFC 2397). Raises OSError; ValueError when it is too large to be sent."""
    content = path.read_bytes()
    if len(content) > MOST_INLINE:
        raise ValueError(f"{len(content):,} bytes; {MOST_INLINE:,} at most can be sent in an event")
    kind = guess_type(path.name)[0] or "image/jpeg"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


#: Base64 is a third longer, and Kafka's messages end at 17 MB.
MOST_INLINE = MOST_BYTES // 2


def _files(folder: Path) -> Iterator[Path]:
    for at, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in ENDINGS:
                yield Path(at) / name


def _identity(path: Path) -> int:
    if not path.is_file():
        raise OSError(0, "no regular file")  # a named pipe would be waited for
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return stable_id(f"picture {digest.hexdigest()}")
