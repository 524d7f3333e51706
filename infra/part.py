"""A part: one outside process that ``pinstream up`` starts, and how to tell that it is ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from streams.settings import Settings


@dataclass(frozen=True)
class Part:
    """What the supervisor needs to know of a process. ``infra/<name>.py`` has ``part(settings) -> Part``."""

    name: str
    command: list[str]
    #: Port name (as in ``Settings.PORTS``) → number; checked to be free before the start.
    ports: dict[str, int]
    #: Where it listens, for people.
    address: str
    #: True once it answers. Never raises.
    ready: Callable[[], bool]
    #: What is wrong although it answers, for people; empty when nothing is. Asked once it is ready.
    complaint: Callable[[], str] = lambda: ""
    #: True when it lives but will never serve again, so that only a new start helps. Never raises.
    lost: Callable[[], bool] = lambda: False
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    #: The command of a process that does ahead what can be done and waits, to be the next one when this one dies
    #: (:mod:`infra.spare`); empty for none.
    spare: list[str] = field(default_factory=list[str])
    #: Seconds to become ready, and to stop after SIGTERM before SIGKILL.
    start_timeout: float = 90.0
    stop_timeout: float = 20.0
    #: How far it gives way when cores are short (0 … 19). A worker has one loop in which everything is due in
    #: milliseconds; ClickHouse writes and merges beside it in many threads, and no slate waits for it.
    nice: int = 0


#: Three more functions that ``infra/<name>.py`` may have; all may be repeated at no cost.
#: ``install(settings, say)`` downloads or unpacks what homes can share, into ``<home>/<name>`` or ``<home>/weights``.
#: ``prepare(settings, say)`` writes what belongs to this home alone (configuration, formatted storage) before a start.
#: ``tidy(settings)`` takes away what a killed process left outside of its home, before a start and after an end.
Say = Callable[[str], None]
__all__ = ["Part", "Say", "Settings"]
