"""A real ClickHouse server for a while: whatever ``clickhouse-server`` is installed, in a folder of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from clickhouse_driver import Client
from clickhouse_driver import errors as driver

_CONFIG = """<yandex>
  <logger><level>warning</level><log>{folder}/log</log><errorlog>{folder}/errors</errorlog></logger>
  <tcp_port>{port}</tcp_port><listen_host>127.0.0.1</listen_host>
  <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><mark_cache_size>104857600</mark_cache_size>
  <users_config>{folder}/users.xml</users_config><default_profile>default</default_profile>
  <default_database>default</default_database>
</yandex>"""
_USERS = """<yandex>
  <profiles><default/></profiles><quotas><default/></quotas>
  <users><default><password></password><networks><ip>127.0.0.1</ip></networks>
  <profile>default</profile><quota>default</quota></default></users>
</yandex>"""
START_SECONDS = 60.0


class Server(NamedTuple):
    """Where it listens (native protocol), and its process."""

    url: str
    pid: int


class NoServer(Exception):
    """None is installed, or it does not start; the message says what to do."""


@contextmanager
def server(folder: Path) -> Generator[Server]:
    """Runs until the block ends. Raises NoServer."""
    binary = shutil.which("clickhouse-server")
    if binary is None:
        raise NoServer("no clickhouse-server: `apt-get install clickhouse-server` (Debian) or ClickHouse's own package")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config.xml").write_text(_CONFIG.format(folder=folder, port=port))
    (folder / "users.xml").write_text(_USERS)
    process = subprocess.Popen(
        [binary, f"--config-file={folder / 'config.xml'}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"clickhouse://default:@127.0.0.1:{port}/default"
    try:
        _wait(url, port, process, folder)
        yield Server(url, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NoServer(f"clickhouse-server ended: {(folder / 'errors').read_text()[-2000:]}")
        try:
            with socket.create_connection(("127.0.0.1", port), 1), Client.from_url(url) as client:
                client.execute("SELECT 1")
                return
        except (driver.Error, OSError, EOFError):
            time.sleep(0.1)
    raise NoServer(f"clickhouse-server did not answer within {START_SECONDS:.0f} s; see {folder / 'errors'}")
