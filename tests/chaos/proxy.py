"""A TCP proxy with faults: it stands between a client and a real part, so that slow and cut connections are real.

One thread and event loop of its own for each proxy; every method may be called from any thread, and holds for
connections that are open as well as for later ones. Nothing is lost but what a fault says is lost: bytes held by
:meth:`FaultProxy.blackhole` arrive after :meth:`FaultProxy.heal`, as TCP would bring them after an outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
CHUNK = 64 * 1024
#: Closing with this sends a reset instead of a polite end.
RESET = struct.pack("ii", 1, 0)
#: What a corrupted byte is XORed with.
FLIP = 0b0101_0101


@dataclass(frozen=True)
class Fault:
    """What happens to bytes on their way. The default passes everything on."""

    #: Seconds that each chunk waits.
    delay: float = 0.0
    #: Bytes a second in each direction of each connection; 0 for no limit.
    rate: float = 0.0
    #: Nothing passes from client to server, or from server to client.
    hold_requests: bool = False
    hold_answers: bool = False
    #: A connection is reset when this many bytes of answers have passed.
    cut_after: int | None = None
    #: One byte in so many of the answers is flipped; 0 for none.
    corrupt_every: int = 0


class FaultProxy:
    """Listens on ``port`` (0: a free one) and passes on to ``upstream``, a port of ``host``.

    ``with FaultProxy(settings.port("milvus")) as proxy`` ends it; or :meth:`close`. The upstream need not be there: a
    client is then reset, as by a machine that has no such process.
    """

    def __init__(self, upstream: int, port: int = 0, host: str = "127.0.0.1") -> None:
        self.upstream, self.host = upstream, host
        self._fault = Fault()
        self._changed = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        #: Connections taken so far, and bytes passed to the server and to clients.
        self.connections = self.bytes_up = self.bytes_down = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy of {upstream}", daemon=True)
        self._thread.start()
        self.port = port
        self._do(self._listen())

    def pass_on(self) -> None:
        """No fault any more; what was held arrives, and a port that refused listens again."""
        self._do(self._set(Fault()))

    heal = pass_on

    def delay(self, seconds: float) -> None:
        """Every chunk, in both directions, comes so much later."""
        self._do(self._set(Fault(delay=seconds)))

    def throttle(self, bytes_per_second: float) -> None:
        """Each connection carries so much and no more."""
        self._do(self._set(Fault(rate=bytes_per_second)))

    def blackhole(self) -> None:
        """Connections are taken and stay open, but nothing comes through either way."""
        self._do(self._set(Fault(hold_requests=True, hold_answers=True)))

    def lose_answers(self) -> None:
        """Requests arrive and are carried out; the answers do not come back."""
        self._do(self._set(Fault(hold_answers=True)))

    def cut(self) -> None:
        """Reset every connection that is open now; new ones pass."""
        self._do(self._reset())

    def cut_after(self, answered: int) -> None:
        """Reset each connection when ``answered`` bytes of answers have passed on it; 0 cuts before the first."""
        self._do(self._set(Fault(cut_after=answered)))

    def corrupt(self, every: int = 64) -> None:
        """Flip one byte in ``every`` of the answers."""
        self._do(self._set(Fault(corrupt_every=every)))

    def refuse(self) -> None:
        """Reset every connection and listen no more: the part is gone."""
        self._do(self._stop_listening())

    def close(self) -> None:
        """End the proxy and its thread."""
        if self._loop.is_closed():
            return
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _set(self, fault: Fault) -> None:
        self._fault = fault
        # Whoever waits under the old fault looks at the new one.
        self._changed.set()
        self._changed = asyncio.Event()
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._connected, sock=listener)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for writer in tuple(self._open):
            _reset(writer)

    async def _end(self) -> None:
        await self._stop_listening()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        self.connections += 1
        up: asyncio.StreamWriter | None = None
        try:
            answers, up = await asyncio.open_connection(self.host, self.upstream)
            self._open.add(up)
            await asyncio.gather(self._requests(reader, up), self._answers(answers, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, up):
                if end is not None:
                    _reset(end)
                    self._open.discard(end)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._wait(len(data))
            while self._fault.hold_requests:
                await self._changed.wait()
            self.bytes_up += len(data)
            writer.write(data)
            await writer.drain()
        _end(writer)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await reader.read(CHUNK):
            await self._wait(len(data))
            while self._fault.hold_answers:
                await self._changed.wait()
            fault = self._fault
            if fault.corrupt_every:
                data = _flipped(data, passed, fault.corrupt_every)
            left = None if fault.cut_after is None else max(0, fault.cut_after - passed)
            data = data[:left]
            passed += len(data)
            self.bytes_down += len(data)
            writer.write(data)
            await writer.drain()
            if left is not None and passed >= (fault.cut_after or 0):
                # What was passed must have left before the reset throws it away.
                await asyncio.sleep(0.01)
                raise ConnectionResetError
        _end(writer)

    async def _wait(self, size: int) -> None:
        fault = self._fault
        seconds = fault.delay + (size / fault.rate if fault.rate else 0)
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)


def _flipped(data: bytes, passed: int, every: int) -> bytes:
    """``data`` with the byte at each multiple of ``every`` of the whole connection flipped."""
    out = bytearray(data)
    for at in range(-passed % every, len(out), every):
        out[at] ^= FLIP
    return bytes(out)


def _end(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing() and writer.can_write_eof():
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    if not transport.is_closing():
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()
