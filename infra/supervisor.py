"""Starts, watches and stops the embedded parts as detached local processes.

``<home>/run/<part>.json`` remembers a process by its id *and* start time, so that a reused process id is never killed.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import psutil

from infra.part import Part, Say
from infra.ports import require_free
from infra.priority import give_way
from infra.process import Running, last, remember, remembered
from infra.spare import Spare
from streams.settings import EMBEDDED, Settings

#: Every part this package can start, in the order people are told of them.
PARTS = ("kafka", "clickhouse", "milvus", "triton")

POLL_SECONDS = 0.2
PROGRESS_SECONDS = 5.0
LOG_LINES_SHOWN = 30
LOG_BYTES_KEPT = 32 * 1024 * 1024


class PartFailed(Exception):
    """A part did not come up; the message holds its last log lines."""


class DiedAtStart(PartFailed):
    """Its process ended before it was ready."""


@dataclass(frozen=True)
class PartStatus:
    """One embedded part as it is now: ``state`` is ``ready``, ``starting`` (or not answering) or ``stopped``."""

    name: str
    state: str
    address: str
    pid: int | None = None
    resident_bytes: int | None = None
    seconds: float | None = None


def embedded(settings: Settings) -> list[str]:
    """Names of the parts that are started here rather than reached as servers."""
    return [name for name in PARTS if getattr(settings, name) == EMBEDDED]


def workers(settings: Settings) -> list[str]:
    """Names of the workers that ``pinstream run`` started from this home and has not stopped."""
    return sorted(path.stem for path in (settings.home / "run").glob("worker-*.json"))


def describe(settings: Settings, name: str) -> Part:
    """The part as its own module describes it."""
    return importlib.import_module(f"infra.{name}").part(settings)


def install(settings: Settings, names: Sequence[str], say: Say = print) -> None:
    """Download what these parts need, without starting them. Raises PartFailed with what to do about it."""
    with _one_at_a_time(settings):
        for name in names:
            try:
                _hook(importlib.import_module(f"infra.{name}"), "install", settings, say)
            except Exception as error:
                raise PartFailed(f"{name}: {error}") from error


def up(settings: Settings, say: Say = print, names: Sequence[str] | None = None) -> None:
    """Install, start and wait for the embedded parts, those that run already left alone.

    Raises:
        PartFailed: a part died, did not become ready or lacks something; the others stay up, so a second ``up``
            completes the work.
    """
    chosen = embedded(settings) if names is None else list(names)
    with _one_at_a_time(settings), ThreadPoolExecutor(max(1, len(chosen))) as pool:
        jobs = [pool.submit(_up_one, settings, name, say) for name in chosen]
        failures = [_told(name, error) for name, job in zip(chosen, jobs, strict=True) if (error := job.exception())]
    if failures:
        raise PartFailed("\n".join(failures))


def start(settings: Settings, name: str, describe: Callable[[], Part], spare: Spare | None = None) -> Running:
    """Start one process unless it runs, without waiting until it is ready; a ``spare`` that lives becomes it.

    Raises what goes wrong.
    """
    with _one_at_a_time(settings):
        return remembered(settings, name) or _begin(settings, name, describe, lambda _: None, spare)


def stand_by(settings: Settings, part: Part) -> Spare:
    """Begin a spare for a part that runs. Raises OSError."""
    with _log(settings, part.name) as output:
        return Spare(part, output.fileno())


def lost(part: Part, running: Running) -> bool:
    """Whether it says that it will not serve again, although it has had its time to start."""
    return time.time() - running.started > part.start_timeout and part.lost()


def down(settings: Settings, say: Say = print, names: Sequence[str] = PARTS) -> None:
    """Stop whatever of these parts runs out of this home, by SIGTERM and, past its time, SIGKILL."""
    with _one_at_a_time(settings), ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: _down_one(settings, name, say), names))


def status(settings: Settings, names: Sequence[str] | None = None) -> list[PartStatus]:
    """How each embedded part is."""
    return [_status_of(settings, name) for name in (embedded(settings) if names is None else names)]


def log_of(settings: Settings, name: str) -> Path:
    return settings.home / "logs" / f"{name}.log"


def last_lines(log: Path) -> str:
    """The end of a log, for people."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:] if log.exists() else []
    return f"the end of {log}:\n" + "\n".join(f"    {line}" for line in lines)


@contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    """Two ``up`` at once would both find a part missing and start it twice."""
    run = settings.home / "run"
    run.mkdir(parents=True, exist_ok=True)
    with (run / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _up_one(settings: Settings, name: str, say: Say) -> None:
    running = remembered(settings, name)
    if running is not None and lost(describe(settings, name), running):
        say(f"{name}: it lives but will not serve again; stopped by {running.stop()}")
        running = None
    if running is None:
        running = _begin(settings, name, partial(describe, settings, name), say)
        say(f"{name}: starting (pid {running.pid})")
    part = describe(settings, name)
    try:
        _wait_until_ready(settings, part, running, say)
    except DiedAtStart:
        # Triton does now and then: its Python backend races for a lock in shared memory on a busy machine.
        running = _begin(settings, name, partial(describe, settings, name), say)
        say(f"{name}: died at start; starting once more (pid {running.pid})")
        _wait_until_ready(settings, part, running, say)
    if complaint := part.complaint():
        raise PartFailed(f"{name} runs at {part.address}, but {complaint}\nIts log: {log_of(settings, name)}")
    say(f"{name}: ready at {part.address}")


def _begin(
    settings: Settings, name: str, describe: Callable[[], Part], say: Say, spare: Spare | None = None
) -> Running:
    if name in PARTS:
        module = importlib.import_module(f"infra.{name}")
        _hook(module, "install", settings, say)
        _hook(module, "prepare", settings, say)
    _end_leftovers(settings, name)
    part = describe()
    require_free(settings, part)
    if spare is not None and spare.go():
        return remember(settings, name, spare.pid, part.stop_timeout)
    return _start(settings, part)


def _hook(module: ModuleType, hook: str, settings: Settings, say: Say) -> None:
    name = module.__name__.removeprefix("infra.")
    if hasattr(module, hook):
        getattr(module, hook)(settings, lambda line: say(f"{name}: {line}"))


def _log(settings: Settings, name: str) -> BinaryIO:
    """The log of a process that starts, opened at its end."""
    log = log_of(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES_KEPT:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def _start(settings: Settings, part: Part) -> Running:
    if part.folder is not None:
        part.folder.mkdir(parents=True, exist_ok=True)
    with _log(settings, part.name) as output:
        process = subprocess.Popen(
            part.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | part.environment,
            cwd=part.folder,
            start_new_session=True,  # Ctrl-C in the terminal is for the command line, not for the parts
        )
    if part.nice:
        give_way(process.pid, part.nice)
    return remember(settings, part.name, process.pid, part.stop_timeout)


def _wait_until_ready(settings: Settings, part: Part, running: Running, say: Say) -> None:
    started = time.monotonic()
    told = started
    while not part.ready():
        now = time.monotonic()
        if not running.alive():
            raise DiedAtStart(f"{part.name} died at start; {last_lines(log_of(settings, part.name))}")
        if now - started > part.start_timeout:
            raise PartFailed(
                f"{part.name} was not ready after {part.start_timeout:.0f} s; {last_lines(log_of(settings, part.name))}"
            )
        if now - told > PROGRESS_SECONDS:
            told = now
            say(f"{part.name}: still starting ({now - started:.0f} s)")
        time.sleep(POLL_SECONDS)


def _down_one(settings: Settings, name: str, say: Say) -> None:
    running = remembered(settings, name)
    if running is not None:
        stopped_by = running.stop()
        say(f"{name}: stopped" + ("" if stopped_by == "SIGTERM" else f" by {stopped_by}"))
    _end_leftovers(settings, name)
    (settings.home / "run" / f"{name}.json").unlink(missing_ok=True)


def _end_leftovers(settings: Settings, name: str) -> None:
    """End the children of a process that was killed, and take away what it left outside of its home."""
    if before := last(settings, name):
        before.end_orphans()
    if name in PARTS and (tidy := getattr(importlib.import_module(f"infra.{name}"), "tidy", None)):
        tidy(settings)


def _status_of(settings: Settings, name: str) -> PartStatus:
    try:
        part = describe(settings, name)
    except FileNotFoundError as error:  # nothing is installed yet; the message has the fix
        return PartStatus(name, "stopped", str(error))
    running = remembered(settings, name)
    if running is None:
        return PartStatus(name, "stopped", part.address)
    try:
        process = psutil.Process(running.pid)
        family = [process, *process.children(recursive=True)]
        resident = sum(member.memory_info().rss for member in family)
    except psutil.NoSuchProcess:
        return PartStatus(name, "stopped", part.address)
    state = "ready" if part.ready() else "starting"
    return PartStatus(name, state, part.address, running.pid, resident, round(time.time() - running.started, 1))


def _told(name: str, error: BaseException) -> str:
    told = str(error) or type(error).__name__
    return told if told.startswith(name) else f"{name}: {told}"
