"""Parts of a test's own: real processes that may be killed, held up and started again, apart from the session's."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

from infra import clickhouse, kafka
from infra.part import Part
from streams.settings import PROJECT, Settings
from tests.chaos.proxy import FaultProxy


class OwnPart:
    """One part as ``infra`` describes it."""

    def __init__(self, part: Part, log: Path) -> None:
        self.part, self.log = part, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        if self.part.folder is not None:
            self.part.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.part.command, cwd=self.part.folder or PROJECT, env=os.environ | self.part.environment,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + self.part.start_timeout
        while not self.part.ready():
            assert self._process.poll() is None, f"{self.part.name} died:\n{self.log.read_text()[-4000:]}"
            assert time.monotonic() < deadline, f"{self.part.name} is not ready:\n{self.log.read_text()[-4000:]}"
            time.sleep(0.1)

    def kill(self) -> None:
        """``kill -9``, its children too."""
        if self._process is None:
            return
        children = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        self._process.kill()
        self._process.wait()
        for child in children:
            child.kill()
        self._process = None

    def pause(self) -> None:
        """``SIGSTOP``: connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """``SIGCONT``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def own_kafka(settings: Settings, proxy: FaultProxy) -> OwnPart:
    """A broker in the home of ``settings`` that sends its clients to ``proxy``, whatever address they came by."""
    kafka.prepare(settings, lambda _: None)
    own, through = (f"advertised.listeners=PLAINTEXT://{settings.host}:{port}" for port in (proxy.upstream, proxy.port))
    properties = settings.home / "data" / "kafka" / "server.properties"
    text = properties.read_text()
    assert own in text
    properties.write_text(text.replace(own, through))
    return OwnPart(kafka.part(settings), settings.home / "logs" / "kafka.log")


def own_clickhouse(settings: Settings) -> OwnPart:
    """An embedded ClickHouse in the home of ``settings``."""
    return OwnPart(clickhouse.part(settings), settings.home / "logs" / "clickhouse.log")
