"""Keeps parts and workers running: whatever dies is started again (``pinstream run``).

A process that is alive is left alone, also one that hangs: whether to end it is for people, or for a platform with
health checks, to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from infra import supervisor, worker
from infra.part import Part
from infra.process import Running, remembered
from streams.settings import Settings

LOOK_SECONDS = 0.1
#: A process that lived so long (seconds) is started again at once; one that did not waits longer each time.
LIVED = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
#: Told of each start and end: ``(what, name, process id, detail)``; what is ``started``, ``died`` or ``failed``.
Told = Callable[[str, str, int, str], None]


@dataclass
class _Kept:
    name: str
    describe: Callable[[], Part]
    running: Running | None = None
    began: float = 0.0
    pause: float = 0.0
    due: float = 0.0


class Keeper:
    """``settings``' embedded parts, and so many workers. Nothing is started before :meth:`look`."""

    def __init__(self, settings: Settings, workers: int, told: Told) -> None:
        self._settings, self._told = settings, told
        self._kept = [_Kept(name, lambda name=name: supervisor.describe(settings, name)) for name in self.parts]
        for number in range(workers):
            name = f"worker-{number}"
            self._kept.append(_Kept(name, lambda number=number: worker.part(settings, number)))

    @property
    def parts(self) -> list[str]:
        return supervisor.embedded(self._settings)

    def adopt(self) -> None:
        """Keep what runs from this home already."""
        for kept in self._kept:
            if running := remembered(self._settings, kept.name):
                kept.running, kept.began = running, time.monotonic()
                self._told("started", kept.name, running.pid, "found running")

    def run(self, stop: Event) -> None:
        """Look, and start what is not there, until told to stop."""
        while not stop.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """One look at everything."""
        for kept in self._kept:
            if kept.running is not None and not kept.running.alive():
                self._told("died", kept.name, kept.running.pid, "")
                lived = time.monotonic() - kept.began
                kept.pause = 0.0 if lived >= LIVED else min(max(FIRST_PAUSE, kept.pause * 2), LONGEST_PAUSE)
                kept.due = time.monotonic() + kept.pause
                kept.running = None
            if kept.running is None and time.monotonic() >= kept.due:
                self._start(kept)

    def stop(self) -> None:
        """Stop the workers first, then the parts."""
        workers = [kept.name for kept in self._kept if kept.name not in self.parts]
        for names in (workers, self.parts):
            if names:
                supervisor.down(self._settings, lambda _: None, names)

    def _start(self, kept: _Kept) -> None:
        try:
            kept.running = supervisor.start(self._settings, kept.name, kept.describe)
        except Exception as error:  # a taken port, a full disk: it may be otherwise next time
            kept.pause = min(max(FIRST_PAUSE, kept.pause * 2), LONGEST_PAUSE)
            kept.due = time.monotonic() + kept.pause
            self._told("failed", kept.name, 0, str(error) or type(error).__name__)
            return
        kept.began = time.monotonic()
        self._told("started", kept.name, kept.running.pid, "")
