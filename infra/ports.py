"""Ports: whether one is free, and who has it when it is not."""

from __future__ import annotations

import contextlib
import socket

import psutil

from infra.part import Part
from streams.settings import Settings


class PortTaken(Exception):
    """Another process listens where a part should."""


def require_free(settings: Settings, part: Part) -> None:
    """Raise PortTaken, saying who has the port and which setting moves the part, unless all its ports are free."""
    for name, port in part.ports.items():
        if not is_free(settings.host, port):
            setting = name if name in Settings.PORTS else part.name
            raise PortTaken(
                f"port {port} ({name}) is taken by {owner(port)}. Stop that process, or move {part.name} with "
                f"PINSTREAM_PORT_{setting.upper()}=<port>, or every part with PINSTREAM_PORT_BASE=<port>."
            )


def is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(host: str, count: int) -> list[int]:
    """Ports that nobody has at this moment."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((host, 0))
        return [one.getsockname()[1] for one in sockets]


def answers(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def owner(port: int) -> str:
    """Who listens on the port, in words."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another process (this user may not see which)"
