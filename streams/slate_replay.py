"""Slates of the past: what is stored of one, what it was made from, and making it again."""

from __future__ import annotations

import time
from base64 import b64decode
from dataclasses import dataclass
from zlib import decompress

import msgspec

from operators.linchpin.errors import RunError, SpecError
from operators.slate.record import Record, RecordUnreadable, decode_record
from operators.slate.replay import Replayed, first_difference, replayed
from streams.slate_records import SpecBundle
from streams.slate_spec import SlateSpec, spec_called, spec_from
from streams.stores.protocols import EventStore


class NoSlate(LookupError):
    """No slate of this id is known."""

    def __init__(self, slate: int) -> None:
        super().__init__(
            f"No slate {slate} is known. Rows come a second or two after a slate went out; those that the API made"
            " for GET /v1/feed are not stored."
        )


class NoRecord(LookupError):
    """The slate is known, but what it was made from is not there."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record and the spec that it was made with."""

    record: Record
    spec: SlateSpec


@dataclass(frozen=True, slots=True)
class Replay:
    """A slate made again. ``difference`` says where it is not what went out; empty where not one bit differs."""

    recorded: Recorded
    replayed: Replayed
    difference: str


async def recorded(events: EventStore, slate: int, transforms: str = "") -> Recorded:
    """What a slate was made from.

    Args:
        events: where it is stored.
        slate: its id.
        transforms: modules that specs need, comma-separated.

    Raises:
        NoSlate: nothing is known of it.
        NoRecord: it cannot be told any more, or never could; the message says why.
        StoreUnavailable: ClickHouse is gone.
    """
    rows = await events.query(
        "SELECT base64Encode(record) AS record FROM slate_records WHERE slate = {slate:Int64}"
        " ORDER BY emitted DESC LIMIT 1",
        {"slate": slate},
    )
    if not rows:
        raise await _absent(events, slate)
    try:
        record = decode_record(b64decode(rows["record"][0]))
    except RecordUnreadable as wrong:
        raise NoRecord(f"What slate {slate} was made from cannot be read: {wrong}.") from wrong
    return Recorded(record, await spec_of_version(events, record.header.spec, transforms))


async def spec_of_version(events: EventStore, version: str, transforms: str = "") -> SlateSpec:
    """A spec that slates were made with. Raises NoRecord and StoreUnavailable as :func:`recorded` does."""
    if (spec := spec_called(version)) is not None:
        return spec
    rows = await events.query(
        "SELECT bundle FROM slate_specs FINAL WHERE version = {version:String}", {"version": version}
    )
    if not rows:
        raise NoRecord(f"The spec {version} that the slate was made with was not kept.")
    try:
        bundle = msgspec.json.decode(decompress(b64decode(rows["bundle"][0])), type=SpecBundle)
        spec = spec_from(bundle.text, bundle.files, transforms)
    except (SpecError, ImportError) as wrong:
        raise NoRecord(f"The spec {version} that the slate was made with cannot be read: {wrong}.") from wrong
    if spec.version != version:
        raise NoRecord(f"The spec that was kept as {version} reads as {spec.version} in this release.")
    return spec


def replay(given: Recorded) -> Replay:
    """Make a slate again. Raises NoRecord when a transform of the spec fails."""
    try:
        again = replayed(given.record, given.spec)
    except RunError as wrong:
        raise NoRecord(f"The slate cannot be made again: {wrong}.") from wrong
    return Replay(given, again, first_difference(given.record.message, again.slate))


async def _absent(events: EventStore, slate: int) -> LookupError:
    rows = await events.query(
        "SELECT max(emitted) AS emitted FROM slates WHERE slate = {slate:Int64}", {"slate": slate}
    )
    emitted = int(rows["emitted"][0]) if rows else 0
    if not emitted:
        return NoSlate(slate)
    hours = max(0.0, time.time() - emitted / 1000) / 3600
    return NoRecord(
        f"What slate {slate} was made from is not kept. It went out {hours:.1f} hours ago; records are let go after"
        " `days`, and are kept of a `share` of slates and of `per_second` at most ([recording] in slates.toml)."
    )
