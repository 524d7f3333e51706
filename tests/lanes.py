"""Every test, in two lanes at once: ``python -m tests.lanes [arguments of pytest]``, as ``make test`` runs them.

Most tests wait for a part more than they compute: one after the other they keep less than one of two cores busy. Those
that use the session's parts go one after the other in the lane ``shared``; those that have nothing, or parts of their
own, in the lane ``apart``, which gives way to the other (it is niced). Which is which follows from a test's fixtures.
What needs the machine for itself is marked ``alone`` and runs after both. Each lane takes time from the other, and
parts have time limits: where a few tests fail in them, those run once more, alone, too, and are named.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import psutil
import pytest

#: The lane of this session; empty when it runs every test.
LANE = os.environ.get("PINSTREAM_TEST_LANE", "")
LANES = ("shared", "apart")
#: The mark of what runs after both, and where each lane's pytest notes what failed.
ALONE = "alone"
CACHE = Path(".pytest_cache")
#: More than so many failures are no matter of a busy machine.
MOST_AGAIN = 8
#: Fixtures of ``tests/conftest.py`` that start a part of the session.
PARTS = frozenset({"kafka", "clickhouse", "milvus", "triton", "worker"})
NICE = 5
#: For pytest to stop what it started.
STOP_SECONDS = 60


def in_lane(lane: str, fixtures: Collection[str], *, alone: bool = False) -> bool:
    """Does a test with these fixtures run in this lane?"""
    return not lane or (not alone and (lane == "apart") == PARTS.isdisjoint(fixtures))


def main(arguments: Sequence[str]) -> int:
    """Run both lanes to their ends, then what failed alone; the exit status is 0 if nothing failed for good."""
    began = time.monotonic()
    for lane in LANES:
        _noted(lane).unlink(missing_ok=True)
    statuses = _run(dict.fromkeys(LANES, arguments))
    statuses |= _run({ALONE: [*arguments, "-m", ALONE]})
    noted = {lane: failed(lane) for lane in LANES if statuses[lane] == pytest.ExitCode.TESTS_FAILED}
    again = sorted(test for tests in noted.values() for test in tests)
    if 0 < len(again) <= MOST_AGAIN:
        print("failed beside the other lane, once more alone: " + " ".join(again), flush=True)
        alone = _run({ALONE: again})[ALONE]
        statuses |= {lane: alone for lane, tests in noted.items() if tests}
    print(f"{time.monotonic() - began:.0f} s; exit status: {statuses}")
    # One lane may have nothing to do where only some tests were asked for, both may not.
    passed = {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    return 0 if set(statuses.values()) <= passed and pytest.ExitCode.OK in statuses.values() else 1


def failed(lane: str) -> list[str]:
    """What pytest noted as failed in this lane; nothing where it noted nothing."""
    try:
        return list(json.loads(_noted(lane).read_text()))
    except (OSError, ValueError):
        return []


def _noted(lane: str) -> Path:
    return CACHE / lane / "v" / "cache" / "lastfailed"


def _run(lanes: dict[str, Sequence[str]]) -> dict[str, int]:
    """Exit status of each lane, all of them running at once."""
    running = {lane: _start(lane, arguments) for lane, arguments in lanes.items()}
    readers = [threading.Thread(target=_tell, args=each) for each in running.items()]
    for reader in readers:
        reader.start()
    try:
        for reader in readers:
            reader.join()
    finally:
        _stop(running.values())
    return {lane: process.wait() for lane, process in running.items()}


def _start(lane: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-o", f"cache_dir={CACHE / lane}", *arguments],
        env=os.environ | {"PINSTREAM_TEST_LANE": "" if lane == ALONE else lane, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,  # Ctrl-C is told once, by us: a second one would end the stopping of parts
    )  # fmt: skip
    if lane == "apart":
        psutil.Process(process.pid).nice(psutil.Process().nice() + NICE)
    return process


def _tell(lane: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        print(f"{lane:6} | {line}", end="", flush=True)


def _stop(processes: Collection[subprocess.Popen[str]]) -> None:
    """Interrupt what still runs, so that it stops its parts."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
