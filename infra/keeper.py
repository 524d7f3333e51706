"""Keeps processes running: whatever dies, or says itself that it will not serve again, is started anew
(``pinstream run``, and the demo).

Any other process that is alive is left alone, also one that hangs: whether to end it is for people, or for a platform
with health checks, to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from threading import Event, Thread

from infra import supervisor, worker
from infra.part import Part, Say
from infra.ports import PortTaken
from infra.process import Running
from infra.spare import Spare
from streams.settings import Settings

LOOK_SECONDS = 0.1
#: Between two questions to a process whether it will serve again.
LOST_SECONDS = 10.0
#: A process that lived so long (seconds) is started again at once; one that did not waits longer each time.
LIVED = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
#: What was killed may hold its ports a moment longer, while the kernel takes its memory back: seconds.
LINGERS = 3.0
#: A process has this long (seconds) for its start before a spare is begun beside it, which wants the same processors.
SPARE_AFTER = 10.0
#: Told of each start and end: ``(what, name, process id, detail)``.
#: What is ``started``, ``died``, ``lost`` (ended, as it would not serve again) or ``failed``.
Told = Callable[[str, str, int, str], None]
#: Name → what describes the process, asked anew before each start.
Kept = Mapping[str, Callable[[], Part]]


def parts_and_workers(settings: Settings, workers: int) -> Kept:
    """The embedded parts, and so many workers."""
    parts = {name: partial(supervisor.describe, settings, name) for name in supervisor.embedded(settings)}
    return parts | {f"worker-{number}": partial(worker.part, settings, number) for number in range(workers)}


@contextmanager
def kept_up(settings: Settings, say: Say) -> Iterator[None]:
    """Keeps the embedded parts, which run already, while the block lasts; says what died, with its last words."""

    def told(what: str, name: str, pid: int, detail: str) -> None:
        if what in ("died", "lost"):
            ended.add(name)
            say(f"{name}: {what} (pid {pid}); {supervisor.last_lines(supervisor.log_of(settings, name))}")
        elif name in ended:
            say(f"{name}: {what} anew" + (f": {detail}" if detail else ""))

    ended: set[str] = set()
    stop = Event()
    keeper = Keeper(settings, parts_and_workers(settings, 0), told)
    keeper.look()  # by now it knows whom it keeps
    thread = Thread(target=keeper.run, args=(stop,), name="keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass
class _Process:
    describe: Callable[[], Part]
    running: Running | None = None
    began: float = 0.0
    pause: float = 0.0
    due: float = 0.0
    died: float = -inf
    asked: float = 0.0
    spare: Spare | None = None
    spare_due: float = inf

    def lost(self) -> bool:
        if self.running is None or time.monotonic() - self.asked < LOST_SECONDS:
            return False
        self.asked = time.monotonic()
        return supervisor.lost(self.describe(), self.running)

    def stand_by(self, settings: Settings) -> None:
        """See to it that a spare waits, where one is wanted and its time has come."""
        now = time.monotonic()
        if self.spare is not None and not self.spare.alive():
            self.spare, self.spare_due = None, now + SPARE_AFTER
        if self.running is not None and self.spare is None and now >= self.spare_due:
            self.spare_due = inf
            part = self.describe()
            if part.spare:
                self.spare = supervisor.stand_by(settings, part)

    def dismiss(self) -> None:
        """No spare is needed any more."""
        if self.spare is not None:
            self.spare.end()
        self.spare, self.spare_due = None, inf

    def ended(self) -> None:
        now = time.monotonic()
        lived = self.running is not None and now - self.began >= LIVED
        self.pause = 0.0 if lived else min(max(FIRST_PAUSE, self.pause * 2), LONGEST_PAUSE)
        if self.running is not None:
            self.died = now
        self.running, self.due = None, now + self.pause


class Keeper:
    """Starts what of ``kept`` does not run from this home, at each :meth:`look`."""

    def __init__(self, settings: Settings, kept: Kept, told: Told) -> None:
        self._settings, self._told = settings, told
        self._processes = {name: _Process(describe) for name, describe in kept.items()}

    def run(self, stop: Event) -> None:
        """Look again and again until told to stop."""
        while not stop.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """One look at everything."""
        for name, process in self._processes.items():
            if process.running is not None and not process.running.alive():
                self._told("died", name, process.running.pid, "")
                process.ended()
            elif process.running is not None and process.lost():
                stopped_by = process.running.stop()
                self._told("lost", name, process.running.pid, f"stopped by {stopped_by}")
                process.ended()
            if process.running is None and time.monotonic() >= process.due:
                self._start(name, process)
            with suppress(OSError):  # no memory for another process: then there is no spare
                process.stand_by(self._settings)

    def stop(self) -> None:
        """Stop everything: the workers at once, then what they use at once."""
        for process in self._processes.values():
            process.dismiss()
        workers = [name for name in self._processes if name.startswith("worker-")]
        for names in (workers, [name for name in self._processes if name not in workers]):
            if names:
                supervisor.down(self._settings, lambda _: None, names)

    def _start(self, name: str, process: _Process) -> None:
        try:
            process.running = supervisor.start(self._settings, name, process.describe, process.spare)
        except Exception as error:  # a taken port, a full disk: it may be otherwise next time
            if isinstance(error, PortTaken) and time.monotonic() - process.died < LINGERS:
                return  # taken by the one that died: the next look may find it gone
            process.ended()
            self._told("failed", name, 0, str(error) or type(error).__name__)
            return
        process.began = time.monotonic()
        if process.spare is not None and process.spare.pid == process.running.pid:
            process.spare = None
        process.spare_due = process.began + SPARE_AFTER
        self._told("started", name, process.running.pid, "")
