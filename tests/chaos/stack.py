"""The engine whole, in a home of its own, kept as ``pinstream run`` keeps it, and every fault that can be done to it.

Workers, and the load, reach each part through a proxy, so that connections can be slowed, held and cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil

from infra import supervisor, worker
from infra.keeper import Keeper
from infra.part import Part
from infra.ports import answers
from infra.process import remembered
from infra.standing import stand_up
from streams.cli.running import link_installed
from streams.settings import Settings
from tests.chaos.proxy import FaultProxy
from tests.chaos.schedule import PARTS, WORKERS, Fault

#: Proxies listen so many ports above their parts.
AWAY = 500
PORTS = {"kafka": "kafka", "clickhouse": "clickhouse", "milvus": "milvus", "triton": "triton_grpc"}
#: More than is little (infra/clickhouse_damage.py): with little room every insert is looked at, at twice its cost.
DISK_BYTES = 2 << 30
START_SECONDS = 180.0
#: Seconds between looks at what the keeper keeps.
LOOK = 0.1


class Stack:
    """``with Stack(…) as stack``: everything runs; at the end all of it is stopped."""

    def __init__(self, home: Path, port_base: int, say: Callable[[str], None]) -> None:
        self.settings = replace(Settings.load({}), home=home, port_base=port_base, group="chaos")
        self.say = say
        #: Seconds, what, name: every start and end of a process.
        self.story: list[tuple[float, str, str]] = []
        self.skipped: dict[str, str] = {}
        self.proxies: dict[str, FaultProxy] = {}
        self._clocks: dict[str, Path] = {}
        self._shim: Path | None = None
        self._mounted: Path | None = None
        self._stop = threading.Event()
        self._keepers: list[Keeper] = []
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> Stack:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        for proxy in self.proxies.values():
            proxy.heal()
        with contextlib.suppress(FileNotFoundError):
            self._pids_continue()
        for keeper in reversed(self._keepers):
            keeper.stop()
        supervisor.down(self.settings, lambda _: None, [*supervisor.workers(self.settings), *PARTS])
        for proxy in self.proxies.values():
            proxy.close()
        if self._mounted is not None:
            subprocess.run(["umount", "--lazy", str(self._mounted)], check=False)

    @property
    def outside(self) -> Settings:
        """Settings for a client of this engine: as the workers', by way of the proxies."""
        return replace(self.settings, kafka=f"{self.settings.host}:{self.settings.port('kafka') + AWAY}")

    def url(self, name: str) -> str:
        """The API of a worker."""
        return worker.part(self.settings, int(name.removeprefix("worker-"))).address

    def restart(self, name: str) -> None:
        """Stop a worker in order, and wait until the keeper has started it again and its API answers."""
        running = remembered(self.settings, name)
        assert running is not None, f"{name} does not run"
        running.stop()
        deadline = time.monotonic() + START_SECONDS
        before, port = running.pid, worker.part(self.settings, int(name.removeprefix("worker-"))).ports["api"]
        while self.wait_for_pid(name) == before or not answers(self.settings.host, port):
            assert time.monotonic() < deadline, f"{name} did not come back"
            time.sleep(0.2)

    def pid(self, name: str) -> int | None:
        running = remembered(self.settings, name)
        return None if running is None else running.pid

    def do(self, fault: Fault) -> str:
        """Carry a fault out, to its end. What was done, or why it was not."""
        return {
            "kill": self._kill,
            "stop": self._stop_and_continue,
            "cut": self._cut,
            "slow": self._slow,
            "hold": partial(self._through, how=FaultProxy.blackhole),
            "lose answers": partial(self._through, how=FaultProxy.lose_answers),
            "fill disk": self._fill_disk,
            "rebalance": self._rebalance,
            "step clock": self._step_clock,
        }[fault.what](fault)

    def wait_for_pid(self, name: str) -> int:
        """The process id, as soon as there is one: what was just killed may not have been started again yet."""
        deadline = time.monotonic() + START_SECONDS
        while (pid := self.pid(name)) is None:
            assert time.monotonic() < deadline, f"{name} does not run"
            time.sleep(0.05)
        return pid

    def _kill(self, fault: Fault) -> str:
        os.kill(self.wait_for_pid(fault.part), signal.SIGKILL)
        return "done"

    def _stop_and_continue(self, fault: Fault) -> str:
        pid = self.wait_for_pid(fault.part)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(fault.seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return "done"

    def _cut(self, fault: Fault) -> str:
        """Cut every connection again and again."""
        until = time.monotonic() + fault.seconds
        while time.monotonic() < until:
            self.proxies[fault.part].cut()
            time.sleep(0.3)
        return "done"

    def _slow(self, fault: Fault) -> str:
        return self._through(fault, partial(FaultProxy.delay, seconds=0.4))

    def _through(self, fault: Fault, how: Callable[[FaultProxy], None]) -> str:
        how(self.proxies[fault.part])
        try:
            time.sleep(fault.seconds)
        finally:
            self.proxies[fault.part].heal()
        return "done"

    def _fill_disk(self, fault: Fault) -> str:
        if self._mounted is None:
            return "skipped: " + self.skipped["fill disk"]
        filler = self._mounted / "filler"
        try:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 20))
            # The last bytes too.
            with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
                while True:
                    file.write(b"0" * 512)
            time.sleep(fault.seconds)
        finally:
            filler.unlink(missing_ok=True)
        return "done"

    def _rebalance(self, fault: Fault) -> str:
        """One more worker comes; or, if it is there, goes."""
        running = remembered(self.settings, fault.part)
        if running is None:
            supervisor.start(self.settings, fault.part, partial(self._worker, fault.part))
            return "came"
        running.stop()
        return "went"

    def _step_clock(self, fault: Fault) -> str:
        if self._shim is None:
            return "skipped: " + self.skipped["step clock"]
        self._set_clock(fault.part, fault.step)
        try:
            time.sleep(fault.seconds)
        finally:
            self._set_clock(fault.part, 0)
        return "done"

    def _set_clock(self, name: str, seconds: int) -> None:
        with self._clocks[name].open("r+b") as file:
            file.write(struct.pack("q", seconds))

    def _start(self) -> None:
        home = self.settings.home
        home.mkdir(parents=True, exist_ok=True)
        installed = Settings.load().home
        supervisor.install(replace(self.settings, home=installed), PARTS, self.say)
        link_installed(installed, home)
        self._mount()
        self._compile_clock()
        for part, port in PORTS.items():
            number = self.settings.port(port)
            self.proxies[part] = FaultProxy(number, number + AWAY)
        parts = Keeper(self.settings, {part: partial(self._part, part) for part in PARTS}, self._told)
        self._keepers.append(parts)
        parts.look()
        asyncio.run(stand_up(self.settings, self.say))
        self._keepers.append(Keeper(self.settings, {name: partial(self._worker, name) for name in WORKERS}, self._told))
        self._thread.start()

    def _part(self, name: str) -> Part:
        part = supervisor.describe(self.settings, name)
        if name == "kafka":  # it tells clients where to find it: at the proxy
            file = self.settings.home / "data" / "kafka" / "server.properties"
            port = self.settings.port("kafka")
            told = f"advertised.listeners=PLAINTEXT://{self.settings.host}:"
            file.write_text(file.read_text().replace(f"{told}{port}", f"{told}{port + AWAY}"))
        return part

    def _worker(self, name: str) -> Part:
        part = worker.part(self.settings, int(name.removeprefix("worker-")))
        environment = part.environment | {
            "PINSTREAM_HOME": str(self.settings.home),
            "PINSTREAM_PORT_BASE": str(self.settings.port_base),
            "PINSTREAM_GROUP": self.settings.group,
            **{f"PINSTREAM_PORT_{port.upper()}": str(self.settings.port(port) + AWAY) for port in PORTS.values()},
        }
        if self._shim is not None:
            if name not in self._clocks:
                self._clocks[name] = self.settings.home / f"{name}.clock"
                self._clocks[name].write_bytes(struct.pack("q", 0))
            environment |= {"LD_PRELOAD": str(self._shim), "CHAOS_CLOCK": str(self._clocks[name])}
        return replace(part, environment=environment)

    def _told(self, what: str, name: str, _pid: int, detail: str) -> None:
        self.story.append((time.monotonic(), what, name))
        if what == "failed":
            self.say(f"  {name} could not be started: {detail}")

    def _keep(self) -> None:
        while not self._stop.wait(LOOK):
            for keeper in self._keepers:
                keeper.look()

    def _mount(self) -> None:
        folder = self.settings.home / "data" / "clickhouse"
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "pinstream-chaos", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said = done.stderr.strip() if done.returncode else ""
        except FileNotFoundError:
            said = "there is no `mount`"
        if said:
            self.skipped["fill disk"] = f"a small disk needs the right to mount one ({said})"
        else:
            self._mounted = folder

    def _compile_clock(self) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            self.skipped["step clock"] = "there is no C compiler"
            return
        shim = self.settings.home / "clock.so"
        source = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
        self._shim = shim

    def _pids_continue(self) -> None:
        """Nothing stays stopped."""
        for name in (*PARTS, *supervisor.workers(self.settings)):
            if pid := self.pid(name):
                with contextlib.suppress(psutil.Error):
                    psutil.Process(pid).resume()
