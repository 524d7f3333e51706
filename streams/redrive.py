"""Redriving: dead letters back to their topics, each once, however often it is asked for and wherever it is killed.

A copy and the note about it (``streams.dead_letter_log.Redriven``) are one Kafka transaction: both are there or
neither, and a letter with a note is never sent again. The transactional id is one for the whole group, so a redrive
that begins takes over from one that still runs. Copies go to the partition that the record came from.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from operators.identity import stable_id
from operators.parsing import MAX_BYTES
from operators.rejection import Reason
from streams.dead_letter_log import Ends, Entry, Redrives, Wanted, current_ends, read_letters
from streams.dead_letters import MAX_VALUE
from streams.originals import Header, Original, Originals
from streams.redrive_sender import Copy, Sender
from streams.settings import Settings

#: Headers of a copy: the position of the record that it stands for, and how many redrives led to it.
POSITION_HEADER, ATTEMPT_HEADER = "pinstream.redrive.of", "pinstream.redrive.attempt"
#: Of these Kafka keeps the newest record of each key. A copy under the old key would push out what came since.
COMPACTED = frozenset({"pins", "pins.accepted"})
#: Letters of one transaction, and bytes; a reader of committed records waits while one is open.
MOST_LETTERS, MOST_BYTES = 500, 8 << 20


Edit = Callable[[bytes], bytes | None]
Progress = Callable[["Account"], None]


@dataclass
class Account:
    """Where every wanted letter went: ``wanted = sent + left out``. ``left_out`` is by reason, in plain words."""

    wanted: int = 0
    sent: int = 0
    left_out: Counter[str] = field(default_factory=Counter[str])
    by_topic: Counter[str] = field(default_factory=Counter[str])
    #: Up to where the letters were read: those that came later are for another time.
    ends: Ends = field(default_factory=dict[int, int])


def edit_fields(fields: Mapping[str, Any]) -> Edit:
    """An edit that sets fields of a JSON object; None for a record that is no JSON object."""

    def edit(value: bytes) -> bytes | None:
        try:
            event = json.loads(value)
        except (ValueError, RecursionError):
            return None
        return json.dumps({**event, **fields}).encode() if isinstance(event, dict) else None

    return edit


def redrive(
    settings: Settings,
    wanted: Wanted,
    *,
    again: bool = False,
    edit: Edit | None = None,
    limit: int = 0,
    ends: Ends | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Account:
    """Send the wanted letters back to their topics; a ``dry_run`` says what would be sent and sends nothing.

    Letters that came back from a redrive are sent only ``again``. ``limit`` is the most that are sent; 0 for no limit.

    Raises:
        StoreUnavailable: Kafka is gone.
        RedriveFailed: another redrive took over, or Kafka refused.
    """
    account = Account(ends=current_ends(settings) if ends is None else ends)
    # First of all: it ends what a redrive before left open, so that its notes are whole when they are read.
    sender = None if dry_run else Sender(settings)
    redrives = Redrives.load(settings)
    with Originals(settings) as originals:
        for chunk in _chunks(read_letters(settings, wanted, redrives, account.ends)):
            copies = _copies(chunk, originals, account, again, edit)
            if limit and len(copies) > (room := limit - account.sent):
                account.left_out["beyond the limit"] += len(copies) - room
                copies = copies[:room]
            sent = copies if sender is None else sender.send(copies, account.left_out)
            account.sent += len(sent)
            account.by_topic.update(copy.letter.topic for copy in sent)
            if progress:
                progress(account)
            if (stop and stop.is_set()) or (limit and account.sent >= limit):
                break
    return account


def _chunks(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        chunk.append(entry)
        size += entry.letter.size
        if len(chunk) == MOST_LETTERS or size >= MOST_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _copies(chunk: list[Entry], originals: Originals, account: Account, again: bool, edit: Edit | None) -> list[Copy]:
    account.wanted += len(chunk)
    sendable: list[Entry] = []
    for entry in chunk:
        if why := _unsendable(entry, again):
            account.left_out[why] += 1
        else:
            sendable.append(entry)
    found = originals.of(entry.letter for entry in sendable)
    copies: list[Copy] = []
    for entry in sendable:
        copy = _copy(entry, found.get(entry.letter.id), edit)
        if isinstance(copy, str):
            account.left_out[copy] += 1
        else:
            copies.append(copy)
    return copies


def _unsendable(entry: Entry, again: bool) -> str:
    letter = entry.letter
    if letter.topic not in MAX_BYTES:
        return "not of a topic that the engine reads"
    if letter.value is None or letter.reason == Reason.ERASED_PINNER:
        return "nothing is kept of the record"
    if entry.attempt and not again:
        return "came back from a redrive (--again sends it once more)"
    return ""


def _copy(entry: Entry, original: Original | None, edit: Edit | None) -> Copy | str:
    letter, attempt = entry.letter, entry.attempt + 1
    if original is None and letter.size > MAX_VALUE:
        return "only its first 64 KiB are kept and its topic has it no more"
    value = letter.value if original is None else original.value
    if edit is not None and value is not None:
        value = edit(value)
    if value is None:
        return "no JSON object to set fields of"
    position = f"{letter.topic}:{letter.partition}:{letter.offset}"
    key = _key(value) if original is None else original.key
    if letter.topic in COMPACTED:
        key = position.encode()
    kept = (
        []
        if original is None
        else [each for each in original.headers if each[0] not in (POSITION_HEADER, ATTEMPT_HEADER)]
    )
    headers: list[Header] = [*kept, (POSITION_HEADER, position.encode()), (ATTEMPT_HEADER, str(attempt).encode())]
    return Copy(letter, attempt, key, value, headers)


def _key(value: bytes) -> bytes | None:
    """The key that a producer would have given, where the record says whose it is."""
    try:
        return str(stable_id(json.loads(value)["pinner"])).encode()
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
