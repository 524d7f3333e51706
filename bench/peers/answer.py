"""What an engine's process is asked and what it answers. Standard library only: other environments import it too."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

MINUTE = 60_000


@dataclass(frozen=True)
class Question:
    """One run, as it stands on the command line of an engine's process."""

    broker: str
    topic: str
    #: Events to count: all that the topic holds.
    events: int
    partitions: int
    #: Consumer group, new for every run.
    group: str
    #: The counts go here, a line each: ``pin type minute count`` or ``domain type count``, tabs between.
    counts: str
    #: A folder for what the engine keeps on disk; empty at first.
    scratch: str
    #: Which of the engine's variants.
    variant: str
    #: Events of each partition: what a worker that shares the topic with others needs to know to end.
    totals: list[int] = field(default_factory=list)

    @classmethod
    def asked(cls) -> Question:
        return cls(**json.loads(sys.argv[1]))


class Watch:
    """Time from the first records to the last; what came first was waited for, so it is not counted as work."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.first = self.seen = 0
        #: Seconds of processor time, all threads, from the first records to the last.
        self.cpu = 0.0
        #: The most memory held until the last event was counted, MiB; writing down the answer is no part of the job.
        self.rss_mib = 0.0

    def saw(self, events: int) -> None:
        """So many more events are counted; call it after they are."""
        if not self.began:
            self.began, self.first = time.monotonic(), events
            self.cpu = -time.process_time()
        self.seen += events

    def stop(self) -> None:
        self.ended = time.monotonic()
        self.cpu += time.process_time()
        self.rss_mib = peak_mib()


def answer(watch: Watch, question: Question, pins: Iterable[str] = (), domains: Iterable[str] = ()) -> None:
    """Say how long it took and write down what was counted, a line each, without line ends."""
    said: dict[str, float] = {"events": watch.seen, "first": watch.first, "began": watch.began, "ended": watch.ended}
    said |= {"cpu": watch.cpu, "rss_mib": round(watch.rss_mib)}
    with Path(question.counts).open("w") as file:
        for lines in (pins, domains):
            file.writelines(f"{line}\n" for line in lines)
    print(json.dumps(said), flush=True)


def peak_mib() -> float:
    """The most memory this process held. ``getrusage`` would tell its parent's where that was more."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on a Mac
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
