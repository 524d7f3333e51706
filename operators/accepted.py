"""An accepted pin: the newest version of a pin, as the catalogue hands it to vision on ``pins.accepted``."""

from __future__ import annotations

import msgspec


class AcceptedPin(msgspec.Struct, kw_only=True, gc=False):
    """Integer ids throughout, 0 where unknown. ``version`` is the event's time and ``created`` the pin's, in ms."""

    pin: int
    version: int
    deleted: bool = False
    pinner: int = 0
    board: int = 0
    board_name: str = ""
    title: str = ""
    description: str = ""
    link: str = ""
    domain: str = ""
    image: str | None = None
    created: int = 0
