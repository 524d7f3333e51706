"""JSON Schema of every message, made from the types that read and write them: ``python -m streams.schema``."""

from __future__ import annotations

from typing import Any

import msgspec

from operators.accepted import AcceptedPin
from operators.events import EVENTS
from operators.slate.slate import Slate
from operators.understood import UnderstoodPin
from streams.dead_letters import DeadLetter
from streams.settings import PROJECT

#: Topic → what its messages are.
MESSAGES: dict[str, type[msgspec.Struct]] = {
    **EVENTS,
    "pins.accepted": AcceptedPin,
    "pin.understood": UnderstoodPin,
    "feed.candidates": Slate,
    "dead.letters": DeadLetter,
}
FILE = PROJECT / "docs" / "events.schema.json"


def schema() -> dict[str, Any]:
    """Definitions under ``$defs``, and under ``topics`` which of them each Kafka topic carries."""
    references, definitions = msgspec.json.schema_components(MESSAGES.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "PinStream's messages",
        "topics": dict(zip(MESSAGES, references, strict=True)),
        "$defs": definitions,
    }


def text() -> str:
    """What stands in ``docs/events.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(schema(), order="sorted"), indent=2).decode() + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
