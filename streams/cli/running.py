"""The whole engine for as long as a block lasts: parts, topics, tables and a worker, in a home of its own.

Used by ``pinstream demo`` and ``pinstream bench``. What set-up has installed in the ordinary home is shared, not
fetched again; data, logs and process ids are apart.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from infra import supervisor
from infra.keeper import kept_up
from infra.process import remember, remembered
from infra.standing import stand_up
from streams.settings import EMBEDDED, PROJECT, Settings

Say = Callable[[str], None]

#: What one run of the parts owns below a home; everything else there was installed.
OWN_FOLDERS = ("data", "logs", "run")
START_SECONDS = 120.0
STOP_SECONDS = 30.0


class EngineFailed(Exception):
    """Something of the engine ended or did not get ready; the message ends with its log's last lines."""


@dataclass
class Worker:
    """``pinstream worker`` as a process."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str
    token: str

    def check(self) -> None:
        """Raises EngineFailed when the worker has ended by itself."""
        status = self.process.poll()
        if status is not None:
            raise EngineFailed(f"the worker ended with status {status}; {supervisor.last_lines(self.log)}")

    def get(self, path: str) -> dict[str, Any]:
        """The JSON answer of the API. Raises OSError or HTTPException while it does not answer."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        with urlopen(Request(self.url + path, headers=headers), timeout=15) as answer:  # noqa: S310 - always http
            return json.load(answer)

    def rung(self) -> str:
        """Which rung of the ladder it stands on (``docs/operations.md``); empty while it does not answer."""
        with suppress(OSError, HTTPException, ValueError):
            return str(self.get("/ready")["rung"])
        return ""

    def stop(self) -> None:
        """SIGTERM, and SIGKILL past its time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def home_of_its_own(settings: Settings, name: str) -> Settings:
    """Settings of an all-embedded engine in ``<home>/<name>``, emptied of the run before.

    Raises:
        EngineFailed: an engine still runs from that home.
    """
    mine = replace(
        settings,
        home=settings.home / name,
        group=f"pinstream-{name}",
        kafka=EMBEDDED,
        clickhouse=EMBEDDED,
        milvus=EMBEDDED,
        triton=EMBEDDED,
    )
    left = {part: process.pid for part in (*supervisor.PARTS, "worker") if (process := remembered(mine, part))}
    if left:
        names = ", ".join(f"{part} (pid {pid})" for part, pid in left.items())
        raise EngineFailed(
            f"an engine still runs from {mine.home}: {names}. End that {name} with Ctrl-C; if it was killed, "
            f"run `PINSTREAM_HOME={mine.home} pinstream down`, and end the worker by its pid."
        )
    for folder in OWN_FOLDERS:
        shutil.rmtree(mine.home / folder, ignore_errors=True)
        (mine.home / folder).mkdir(parents=True)
    return mine


@contextmanager
def running(settings: Settings, installed: Settings, say: Say) -> Generator[Worker]:
    """Start everything, wait until it is ready, and stop all of it at the end, whatever happened.

    A part that dies meanwhile is started anew, as under ``pinstream run``.

    ``settings`` come from :func:`home_of_its_own`; ``installed`` are those of the home that holds what was installed.

    Raises:
        EngineFailed: a part or the worker did not get ready; its log's tail is in the message.
    """
    worker: Worker | None = None
    try:
        try:
            supervisor.install(installed, supervisor.embedded(settings), say)
            link_installed(installed.home, settings.home)
            asyncio.run(stand_up(settings, say))
        except supervisor.PartFailed as error:
            raise EngineFailed(str(error)) from None
        with kept_up(settings, say):
            worker = start_worker(settings)
            say(f"worker: starting (pid {worker.process.pid})")
            _wait_until_whole(worker)
            say(f"worker: ready at {worker.url}")
            yield worker
    finally:
        if worker is not None:
            worker.stop()
            say("worker: stopped")
        supervisor.down(settings, say)


def start_worker(settings: Settings) -> Worker:
    """Start ``pinstream worker`` with exactly these settings."""
    log = settings.home / "logs" / "worker.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [str(Path(sys.executable).with_name("pinstream")), "worker"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment(settings),
            cwd=PROJECT,
            start_new_session=True,  # Ctrl-C is for the command line, which then stops the worker
        )
    remember(settings, "worker", process.pid, STOP_SECONDS)
    return Worker(process, log, f"http://{settings.host}:{settings.port('api')}", settings.api_token)


def environment(settings: Settings) -> dict[str, str]:
    """The variables from which ``Settings.load`` makes these settings again."""
    return {f"PINSTREAM_{each.name.upper()}": str(getattr(settings, each.name)) for each in fields(settings)}


def _wait_until_whole(worker: Worker) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (rung := worker.rung()) != "whole":
        worker.check()
        if time.monotonic() > deadline:
            found = rung or "no answer"
            raise EngineFailed(
                f"the worker was not ready after {START_SECONDS:.0f} s ({found}); {supervisor.last_lines(worker.log)}"
            )
        time.sleep(0.2)


def link_installed(installed: Path, home: Path) -> None:
    """Make what was installed in one home visible in another."""
    for folder in installed.iterdir():
        link = home / folder.name
        another_home = (folder / "run").is_dir()
        if folder.is_dir() and folder.name not in OWN_FOLDERS and not another_home and not link.exists():
            link.symlink_to(folder)
