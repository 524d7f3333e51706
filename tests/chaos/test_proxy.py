"""The fault proxy against a server that says back what it is told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.chaos.proxy import FaultProxy
from tests.integration.running import until


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of an echo server."""
    listener = socket.create_server(("127.0.0.1", 0))

    def say_back(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=say_back, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[FaultProxy]:
    with FaultProxy(echo) as proxy:
        yield proxy


def connected(proxy: FaultProxy, timeout: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout)


def told(client: socket.socket, size: int) -> bytes:
    out = b""
    while len(out) < size and (data := client.recv(65536)):
        out += data
    return out


def test_what_goes_in_comes_out(proxy: FaultProxy) -> None:
    sent = bytes(range(256)) * 4000
    with connected(proxy) as client:
        threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
        assert told(client, len(sent)) == sent
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert (proxy.connections, proxy.bytes_up, proxy.bytes_down) == (1, len(sent), len(sent))


def test_a_delay_holds_for_open_connections_and_ends_at_once(proxy: FaultProxy) -> None:
    with connected(proxy) as client:
        proxy.delay(0.2)
        began = time.monotonic()
        client.sendall(b"slow")
        assert told(client, 4) == b"slow"
        assert time.monotonic() - began >= 0.4  # there and back
        proxy.delay(60)
        client.sendall(b"stuck")
        time.sleep(0.1)
        proxy.heal()
        assert told(client, 5) == b"stuck"


def test_a_black_hole_answers_nothing_and_loses_nothing(proxy: FaultProxy) -> None:
    with connected(proxy, timeout=0.3) as client:
        proxy.blackhole()
        client.sendall(b"held")
        with pytest.raises(TimeoutError):
            client.recv(1)
        with connected(proxy, timeout=0.3) as another, pytest.raises(TimeoutError):
            another.sendall(b"also held")
            another.recv(1)
        assert proxy.bytes_up == 0
        proxy.heal()
        assert told(client, 4) == b"held"


def test_answers_are_lost_after_the_request_arrived(proxy: FaultProxy) -> None:
    with connected(proxy, timeout=0.3) as client:
        proxy.lose_answers()
        client.sendall(b"done")
        with pytest.raises(TimeoutError):
            client.recv(1)
        until("the request arrived", lambda: proxy.bytes_up == 4, 5)
        assert proxy.bytes_down == 0


def test_a_cut_resets_what_is_open_and_lets_the_next_pass(proxy: FaultProxy) -> None:
    with connected(proxy) as client:
        client.sendall(b"first")
        assert told(client, 5) == b"first"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connected(proxy) as client:
        client.sendall(b"second")
        assert told(client, 6) == b"second"


def test_a_connection_is_cut_in_the_middle_of_an_answer(proxy: FaultProxy) -> None:
    proxy.cut_after(3)
    with connected(proxy) as client:
        client.sendall(b"whole")
        assert told(client, 3) == b"who"
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_refusing_is_as_nobody_listening(proxy: FaultProxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.heal()
    with connected(proxy) as client:
        client.sendall(b"back")
        assert told(client, 4) == b"back"


def test_corrupted_answers_differ_where_said(proxy: FaultProxy) -> None:
    proxy.corrupt(every=4)
    with connected(proxy) as client:
        client.sendall(b"\0" * 10)
        assert [at for at, byte in enumerate(told(client, 10)) if byte] == [0, 4, 8]


def test_no_upstream_is_a_reset(echo: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    # The reset may come while the connection is made.
    with FaultProxy(port) as proxy, pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.sendall(b"anybody?")
        client.recv(1)
