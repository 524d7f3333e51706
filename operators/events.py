"""The events that flow in: the one place that says what a pin, save, click or impression is.

Every event is a JSON object on the Kafka topic of its type. Ids are positive 64-bit integers or
strings (mapped by :func:`operators.identity.stable_id`); times are milliseconds since the epoch.
``v`` is the version of the event's schema: a producer that adds a field raises it, readers ignore
what they do not know (and count it), so nothing has to stop. ``docs/events.md`` shows an example of each
and ``docs/events.schema.json`` is made from this file. Limits stand in the types, so decoding checks them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from operators.identity import MAX_ID

#: The newest schema version that this code knows.
VERSION = 1
#: No event is older than this (2005-01-01), milliseconds since the epoch.
EARLIEST = 1_104_537_600_000
#: No event is later than the year 9999; what is late by the broker's clock is decided on reading.
LATEST = 253_402_300_799_999
MAX_POSITION = 2**15 - 1
MAX_VERSION = 2**31 - 1

Id = Annotated[int, Meta(ge=1, le=MAX_ID)] | Annotated[str, Meta(min_length=1)]
Milliseconds = Annotated[int, Meta(ge=EARLIEST, le=LATEST)]
Position = Annotated[int, Meta(ge=0, le=MAX_POSITION)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Kind(IntEnum):
    """What a pinner did with a pin. The numbers are stored; never renumber."""

    IMPRESSION = 1
    CLOSEUP = 2
    OUTBOUND_CLICK = 3
    SAVE = 4
    HIDE = 5


class Surface(IntEnum):
    """Where a pin was shown. The numbers are stored; never renumber."""

    OTHER = 0
    HOME = 1
    RELATED = 2
    SEARCH = 3
    BOARD = 4


SurfaceName = Literal["other", "home", "related", "search", "board"]


class Event(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    """What every event has.

    ``event_id`` names the event: the same one twice counts once. Without it the event is named by
    its content, so an identical event still counts once. An event without ``v`` is of version 1.
    """

    time: Milliseconds
    v: Annotated[int, Meta(ge=1, le=MAX_VERSION)] = 1
    event_id: Id | None = None


class PinEvent(Event, kw_only=True, gc=False):
    """A pin was created, updated or deleted. The newest ``time`` wins, whatever arrives last."""

    type: Literal["created", "updated", "deleted"]
    pin: Id
    pinner: Id | None = None
    board: Id | None = None
    #: Its words help to say what the pin is about; a ``board`` that is text is its own name when this is left out.
    board_name: str = ""
    #: ``file:///…``, ``http(s)://…`` or ``data:image/…;base64,…``.
    image: str | None = None
    title: str = ""
    description: str = ""
    link: str = ""
    #: Derived from ``link`` when left out.
    domain: str = ""


class SaveEvent(Event, kw_only=True, gc=False):
    """A pinner saved a pin to a board. ``slate``, ``position`` and ``surface`` say where it was seen."""

    pinner: Id
    pin: Id
    board: Id
    slate: Id | None = None
    position: Position | None = None
    surface: SurfaceName = "other"


class ClickEvent(Event, kw_only=True, gc=False):
    """A closeup, an outbound click or a hide."""

    type: Literal["closeup", "outbound", "hide"]
    pinner: Id
    pin: Id
    slate: Id | None = None
    position: Position | None = None
    surface: SurfaceName = "other"


class ImpressionEvent(Event, kw_only=True, gc=False):
    """A pin was shown to a pinner. ``position`` counts from 0 at the top of the slate."""

    pinner: Id
    pin: Id
    slate: Id | None = None
    position: Position | None = None
    surface: SurfaceName = "home"


class PinnerEvent(Event, kw_only=True, gc=False):
    """A pinner signed up, chose interests, followed or unfollowed somebody, or asked to be erased."""

    type: Literal["signed_up", "interests", "followed", "unfollowed", "deleted"]
    pinner: Id
    interests: list[str] = []
    #: The pinners followed or unfollowed.
    pinners: list[Id] = []


class CropEvent(Event, kw_only=True, gc=False):
    """A pinner cut something out of a pin's image, to search for what looks like it."""

    pinner: Id
    pin: Id
    #: Left, top, right and bottom, as fractions of the image's width and height.
    box: tuple[Fraction, Fraction, Fraction, Fraction]


#: Topic → the event that it carries.
EVENTS: dict[str, type[Event]] = {
    "pins": PinEvent,
    "saves": SaveEvent,
    "clicks": ClickEvent,
    "impressions": ImpressionEvent,
    "pinners": PinnerEvent,
    "crops": CropEvent,
}
ENGAGEMENT_TOPICS = ("saves", "clicks", "impressions")
