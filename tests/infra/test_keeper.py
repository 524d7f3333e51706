"""What dies is started again, with nothing left of it before; what cannot start is tried again, later each time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from infra import keeper, supervisor, worker
from infra.keeper import Keeper
from infra.part import Part
from infra.process import last, remembered
from streams.settings import Settings
from tests.conftest import free_base
from tests.integration.running import until

#: A process that starts another and waits, as Triton does with its models.
FAMILY = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print('here', flush=True); sys.stdin.read()"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Settings]:
    settings = replace(Settings.load({}), home=tmp_path)
    yield settings
    supervisor.down(settings, lambda _: None, ["family"])


def family(settings: Settings, code: str = FAMILY) -> Part:
    command = [sys.executable, "-c", f"import time\n{code}\ntime.sleep(600)"]
    return Part(name="family", command=command, ports={}, address="", ready=lambda: True, folder=settings.home)


def test_a_killed_process_is_started_again_and_its_orphans_are_ended(home: Settings) -> None:
    told: list[tuple[str, str]] = []
    kept = Keeper(home, {"family": partial(family, home)}, lambda what, name, *_: told.append((what, name)))
    stop = threading.Event()
    thread = threading.Thread(target=kept.run, args=(stop,))
    thread.start()
    try:
        first = until("it runs", lambda: remembered(home, "family"), 10)
        [child] = until("it has a child", psutil.Process(first.pid).children, 10)
        os.kill(first.pid, signal.SIGKILL)

        def another() -> bool:
            running = remembered(home, "family")
            return running is not None and running.pid != first.pid

        until("another runs", another, 20)
        until("the orphan is gone", lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 10)
    finally:
        stop.set()
        thread.join()
        kept.stop()
    assert told == [("started", "family"), ("died", "family"), ("started", "family")]
    assert remembered(home, "family") is None


#: What a spare is: it waits, and says that it was needed.
WAITS = "from infra.spare import wait_until_needed; wait_until_needed(); open('needed', 'a').write('x')"


def waiting() -> list[int]:
    """Process ids of the spares of this process."""
    children = psutil.Process().children()
    return [child.pid for child in children if child.status() != "zombie" and WAITS in " ".join(child.cmdline())]


def times_needed(home: Settings) -> int:
    needed = home.home / "needed"
    return len(needed.read_text()) if needed.exists() else 0


def test_a_spare_takes_the_place_of_what_died(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "SPARE_AFTER", 0.0)
    told: list[tuple[str, int]] = []
    part = replace(family(home), spare=family(home, WAITS).command)
    kept = Keeper(home, {"family": lambda: part}, lambda what, _name, pid, _detail: told.append((what, pid)))

    def spare() -> int:
        kept.look()
        return next((pid for pid in waiting() if pid != told[-1][1]), 0)

    try:
        first = until("a spare waits", spare, 10)
        for number in (1, 2):
            os.kill(told[-1][1], signal.SIGKILL)
            until("something runs again", lambda number=number: kept.look() or len(told) == 1 + 2 * number, 10)
            assert told[-1] == ("started", first)
            assert (running := remembered(home, "family")) is not None and running.pid == first
            until("it knows", lambda number=number: times_needed(home) == number, 20)
            first = until("the next one waits", spare, 10)
        os.kill(first, signal.SIGKILL)
        second = until("a spare that died has a successor", lambda: (pid := spare()) not in (0, first) and pid, 10)
    finally:
        kept.stop()
    assert not psutil.pid_exists(second) and not waiting()


def test_without_a_spare_that_lives_it_is_started_as_ever(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "SPARE_AFTER", 0.0)
    told: list[str] = []
    part = replace(family(home), spare=[sys.executable, "-c", "raise SystemExit(3)"])
    kept = Keeper(home, {"family": lambda: part}, lambda what, *_: told.append(what))
    try:
        until("it runs", lambda: kept.look() or told, 10)
        kept.look()
        running = remembered(home, "family")
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        until("it runs again", lambda: kept.look() or told == ["started", "died", "started"], 10)
    finally:
        kept.stop()


def test_a_spare_ends_with_whoever_keeps_it(home: Settings) -> None:
    spare = subprocess.Popen(family(home, WAITS).command, stdin=subprocess.PIPE, cwd=home.home)
    assert spare.stdin is not None
    spare.stdin.close()
    assert spare.wait(20) == 0 and not times_needed(home)


@pytest.mark.real
def test_a_part_of_the_demo_that_dies_comes_back_and_its_last_words_are_told(tmp_path: Path) -> None:
    elsewhere = {"kafka": "127.0.0.1:9", "milvus": "lite", "triton": "127.0.0.1:9"}
    settings = replace(Settings.load({}), home=tmp_path, port_base=free_base(), **elsewhere)
    said: list[str] = []
    try:
        supervisor.up(settings, lambda _: None)
        [clickhouse] = supervisor.status(settings)
        with keeper.kept_up(settings, said.append):
            assert clickhouse.pid is not None
            os.kill(clickhouse.pid, signal.SIGKILL)

            def answers_again() -> bool:
                [now] = supervisor.status(settings)
                return now.state == "ready" and now.pid != clickhouse.pid

            until("ClickHouse answers again", answers_again, 60)
        assert said[0].startswith(f"clickhouse: died (pid {clickhouse.pid}); the end of {tmp_path}")
        assert said[1:] == ["clickhouse: started anew"]
    finally:
        supervisor.down(settings, lambda _: None)


def test_what_says_that_it_is_lost_is_started_anew(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only once it had its time to start: until then Milvus, too, says that it is ``Abnormal``."""
    monkeypatch.setattr(keeper, "LOST_SECONDS", 0.0)
    told: list[tuple[str, int]] = []
    part = replace(family(home), lost=lambda: len(told) == 1, start_timeout=3.0, stop_timeout=1.0)
    kept = Keeper(home, {"family": lambda: part}, lambda what, _name, pid, _detail: told.append((what, pid)))
    until("it runs", lambda: kept.look() or told, 10)
    began = time.monotonic()
    until("it was started anew", lambda: kept.look() or len(told) >= 3, 20)
    assert time.monotonic() - began > 1.0
    assert [what for what, _ in told] == ["started", "lost", "started"]
    assert told[0][1] == told[1][1] != told[2][1]


def test_what_dies_at_once_is_not_started_at_once_again(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    starts: list[float] = []
    code = "raise SystemExit(1)"
    kept = Keeper(
        home,
        {"family": partial(family, home, code)},
        lambda what, *_: starts.append(now[0]) if what == "started" else None,
    )
    while len(starts) < 4:
        kept.look()
        running = last(home, "family")
        assert running is not None
        until("it ended", lambda running=running: not running.alive(), 20)
        now[0] += 0.25
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == sorted(pauses)
    assert pauses[0] >= keeper.FIRST_PAUSE
    assert pauses[-1] >= 4 * keeper.FIRST_PAUSE


def test_a_port_that_the_dead_hold_a_moment_longer_is_no_failure(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that inherited the port stands for the kernel, which takes its time with a large process."""
    monkeypatch.setattr(keeper, "LIVED", 0.0)
    port = free_base()
    holds = (
        "import socket, subprocess, sys\n"
        f"taken = socket.create_server(('127.0.0.1', {port}))\n"
        "subprocess.Popen(['sleep', '1'], pass_fds=[taken.fileno()], start_new_session=True)\n"
        "print('here', flush=True)"
    )
    told: list[str] = []
    part = partial(lambda: replace(family(home, holds), ports={"http": port}))
    kept = Keeper(home, {"family": part}, lambda what, *_: told.append(what))

    def look() -> list[str]:
        kept.look()
        return told

    look()
    first = until("it runs", lambda: remembered(home, "family"), 10)
    until("it listens", lambda: "here" in supervisor.log_of(home, "family").read_text(), 10)
    os.kill(first.pid, signal.SIGKILL)
    until("it died", lambda: "died" in look(), 10)
    assert told == ["started", "died"], "its port is still taken"
    until("another runs", lambda: len(look()) == 3, 10)
    assert told == ["started", "died", "started"]


def test_what_cannot_be_started_is_told_and_tried_again(home: Settings) -> None:
    told: list[str] = []
    broken = replace(family(home), command=[str(home.home / "missing")])
    kept = Keeper(home, {"family": lambda: broken}, lambda what, _name, _pid, detail: told.append(f"{what} {detail}"))
    until("it was tried twice", lambda: kept.look() or len(told) >= 2, 20)
    assert all(line.startswith("failed") and "missing" in line for line in told)


def test_workers_have_ports_of_their_own() -> None:
    settings = Settings.load({})
    ports = [port for number in range(3) for port in worker.part(settings, number).ports.values()]
    assert len(set(ports)) == 6
    assert worker.part(settings, 0).ports["api"] == settings.port("api")


def test_workers_end_before_what_they_use(home: Settings) -> None:
    """A worker stores what is under way first."""

    def lingering(name: str, seconds: float) -> Part:
        ends = f"time.sleep({seconds}), open('ended', 'a').write('{name} '), sys.exit()"
        code = f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: ({ends}))\nopen('{name}.here', 'w')"
        return replace(family(home, code), name=name)

    seconds = {"family": 0.0, "worker-0": 0.5, "worker-1": 0.5}
    kept = Keeper(home, {name: partial(lingering, name, wait) for name, wait in seconds.items()}, lambda *_: None)
    kept.look()
    try:
        until("all run", lambda: all((home.home / f"{name}.here").exists() for name in seconds), 20)
    finally:
        kept.stop()
    *workers, part_of_theirs = (home.home / "ended").read_text().split()
    assert sorted(workers) == ["worker-0", "worker-1"] and part_of_theirs == "family"
