"""One detached process, known by its id and start time, and how it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass

import psutil

from streams.settings import Settings

#: The kernel tells the start time in ticks after boot; the boot time it is added to may be corrected by a little.
START_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True)
class Running:
    """A process that was started here. ``started`` is in seconds since the epoch."""

    pid: int
    started: float
    stop_seconds: float

    def alive(self) -> bool:
        """Whether it is still this very process, and not dead, a zombie, or another that got its id."""
        return self._process() is not None

    def stop(self) -> str:
        """End it and its children; the name of the signal that did."""
        process = self._process()
        if process is None:
            return "itself"
        children = process.children(recursive=True)
        process.terminate()
        _, left = psutil.wait_procs([process], self.stop_seconds)
        for survivor in [*left, *children]:
            with contextlib.suppress(psutil.NoSuchProcess):
                survivor.kill()
        psutil.wait_procs([*left, *children], self.stop_seconds)
        return "SIGKILL" if left else "SIGTERM"

    def end_orphans(self) -> None:
        """End what a killed process left behind: children that it started, which hold memory and ports.

        Known by the session, which a part has to itself; the id of a session is not given again while it has members.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self.pid)  # a zombie still has its id; anybody else's must be left alone
            if leader.status() != psutil.STATUS_ZOMBIE:
                return
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if (
                    os.getsid(process.pid) == self.pid
                    and process.create_time() >= self.started - START_TOLERANCE_SECONDS
                ):
                    process.kill()

    def _process(self) -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < START_TOLERANCE_SECONDS
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def remember(settings: Settings, name: str, pid: int, stop_seconds: float) -> Running:
    """Write down the process that was just started."""
    running = Running(pid, psutil.Process(pid).create_time(), stop_seconds)
    path = settings.home / "run" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(running)))
    return running


def remembered(settings: Settings, name: str) -> Running | None:
    """The part's process if it was started from this home and still lives."""
    running = last(settings, name)
    return running if running is not None and running.alive() else None


def last(settings: Settings, name: str) -> Running | None:
    """The process that was started last from this home under this name, dead or alive."""
    path = settings.home / "run" / f"{name}.json"
    try:
        return Running(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
