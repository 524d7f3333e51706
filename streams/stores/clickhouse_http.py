"""ClickHouse over HTTP: the embedded form. Arrow both ways, so columns are copied, never looped over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import aiohttp
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.stores.clickhouse_sql import (
    CLAIM_LOST,
    CLAIMS_HEADER,
    MEMORY_HEADER,
    NO_MEMORY,
    TRANSIENT_CODES,
    ClickHouseError,
    bind,
    identifier,
    insert_settings,
)
from streams.stores.handed_memory import LARGEST, HandedMemory, write_stream
from streams.stores.protocols import ClaimLost, Claims, Columns, Repeated, StoreUnavailable

PART = "clickhouse"
#: A longer body (bytes) is sent by a thread: a loop that also counts would push it out a few MB a turn, for a second.
LONG = 1 << 20
CONNECT_SECONDS = 5.0
CODE_HEADER = "X-ClickHouse-Exception-Code"


class _Answer(NamedTuple):
    status: int
    #: ClickHouse's number of what went wrong; 0 for none.
    code: int
    content: bytes


class ClickHouseHTTP:
    """An :class:`~streams.stores.protocols.EventStore` at ``url``, e.g. ``http://127.0.0.1:29023``.

    Raises:
        StoreUnavailable: nobody answers, or not within ``timeout`` seconds, or ClickHouse is out of memory or room.
        ClickHouseError: ClickHouse refused the statement.
    """

    def __init__(self, url: str, *, database: str = "default", password: str = "", timeout: float = 60.0) -> None:
        self._url = url.rstrip("/") + "/"
        self._database = database
        self._headers = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": password} if password else {}
        self._seconds = timeout
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_SECONDS)
        self._session: aiohttp.ClientSession | None = None
        #: What no insert uses now; None where the other side cannot read this machine's memory.
        self._memory: list[HandedMemory] | None = []

    async def claim(self, partitions: Iterable[tuple[str, int]]) -> Claims:
        named = {f"{topic}:{number}": (topic, number) for topic, number in partitions}
        taken = json.loads(await self._post(json.dumps(list(named)).encode(), path="claims"))
        return {named[name]: claim for name, claim in taken.items()}

    @asynccontextmanager
    async def still(self, seconds: float) -> AsyncGenerator[None]:
        name = await self._post(json.dumps(seconds).encode(), path="still")
        try:
            yield
        finally:
            # Who cannot say so lets the time run out.
            with suppress(StoreUnavailable):
                await self._post(name, path="still")

    async def insert(self, table: str, columns: Columns, *, token: str = "", claims: Claims | None = None) -> None:
        data = _arrow(columns)
        if data.num_rows == 0:
            return
        # Measured first: a buffer that grows as it is written takes twice the room.
        measure = pa.MockOutputStream()
        write_stream(measure, data)
        size = measure.size()
        names = ", ".join(identifier(name) for name in columns)
        query = f"INSERT INTO {identifier(table)} ({names}) FORMAT ArrowStream"
        arguments = {"query": query, **insert_settings(token)}
        if LONG < size <= LARGEST and await self._hand_over(data, size, arguments, claims):
            return
        body = pa.allocate_buffer(size)
        write_stream(pa.FixedSizeBufferWriter(body), data)
        await self._post(memoryview(body), claims=claims, arguments=arguments)

    async def _hand_over(
        self, data: pa.RecordBatch, size: int, arguments: Mapping[str, int | str], claims: Claims | None
    ) -> bool:
        """Insert rows that the other side reads in this process's memory; false where it cannot. Raises as insert."""
        if self._memory is None:
            return False
        try:
            memory = self._memory.pop() if self._memory else HandedMemory()
        except OSError:
            self._memory = None
            return False
        answered = False
        try:
            memory.write(data, size)
            await self._post(b"", claims=claims, arguments=arguments, headers={MEMORY_HEADER: memory.place})
            answered = True
        except ClickHouseError as error:
            answered = True
            if error.code != NO_MEMORY:
                raise
            self._memory = None
        finally:
            # Without an answer it may be read for a while yet, so nothing else is written there.
            if answered and self._memory is not None and not self._memory:
                self._memory.append(memory)
            else:
                memory.close()
        return self._memory is not None

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, NDArray[Any]]:
        body = await self._post(bind(sql, parameters).encode(), arguments={"default_format": "ArrowStream"})
        if not body:
            return {}
        table = pa.ipc.open_stream(body).read_all()
        return {name: _numpy(table.column(name)) for name in table.column_names} if table.num_rows else {}

    async def command(self, sql: str) -> None:
        await self._post(sql.encode())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        while self._memory:
            self._memory.pop().close()

    async def _post(
        self,
        body: bytes | memoryview,
        *,
        path: str = "",
        arguments: Mapping[str, int | str] | None = None,
        claims: Claims | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        query = {"database": self._database} | {name: str(value) for name, value in (arguments or {}).items()}
        held = ",".join(f"{topic}:{number}={claim}" for (topic, number), claim in (claims or {}).items())
        headers = self._headers | ({CLAIMS_HEADER: held} if held else {}) | dict(headers or {})
        try:
            if len(body) > LONG:
                answer = await asyncio.to_thread(self._send_long, body, path, query, headers)
            else:
                answer = await self._send(body, path, query, headers)
        except (aiohttp.ClientError, HTTPException, OSError) as error:  # a time-out is an OSError too
            raise StoreUnavailable(PART, f"{self._url} does not answer ({error or 'timed out'})") from error
        if answer.status == 200:
            return answer.content
        text = answer.content.decode(errors="replace")
        if answer.code in TRANSIENT_CODES or answer.status in (502, 503, 504):
            raise StoreUnavailable(PART, text.strip(), retry_after=2.0)
        if answer.code == CLAIM_LOST:
            raise ClaimLost(text.strip())
        raise ClickHouseError(answer.code, text)

    async def _send(
        self, body: bytes | memoryview, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> _Answer:
        if self._session is None or self._session.closed:
            # A fresh connection costs 0.2 ms here; a kept one may belong to a process that is gone, and
            # whether a statement on it was run could not be told.
            connector = aiohttp.TCPConnector(force_close=True)
            self._session = aiohttp.ClientSession(timeout=self._timeout, connector=connector)
        async with self._session.post(self._url + path, params=query, headers=headers, data=body) as answer:
            return _Answer(answer.status, _code(answer.headers.get(CODE_HEADER)), await answer.read())

    def _send_long(
        self, body: bytes | memoryview, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> _Answer:
        url = urlsplit(self._url)
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        with closing(kind(url.hostname or "", url.port, timeout=CONNECT_SECONDS)) as connection:
            connection.connect()
            connection.sock.settimeout(self._seconds)
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had read all
                connection.request("POST", f"{url.path}{path}?{urlencode(query)}", body, dict(headers))
            answer = connection.getresponse()
            return _Answer(answer.status, _code(answer.getheader(CODE_HEADER)), answer.read())


def _code(header: str | None) -> int:
    return int(header or 0)


def _arrow(columns: Columns) -> pa.RecordBatch:
    """One record batch, so that ClickHouse sees one block. A 2-d array becomes a column of lists."""
    arrays: list[pa.Array[Any]] = []
    for values in columns.values():
        if isinstance(values, Repeated):
            names = list(dict.fromkeys(values.values))
            index = np.array([names.index(value) for value in values.values], np.int32)
            arrays.append(pa.DictionaryArray.from_arrays(np.repeat(index, values.counts), names))
        elif isinstance(values, np.ndarray) and values.ndim == 2:
            offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
            arrays.append(pa.ListArray.from_arrays(offsets, np.ascontiguousarray(values).ravel()))
        elif isinstance(values, np.ndarray) and values.dtype == object:
            arrays.append(pa.array(values.tolist()))
        else:
            arrays.append(pa.array(values))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _numpy(column: pa.ChunkedArray[Any]) -> NDArray[Any]:
    if pa.types.is_list(column.type):
        values = np.empty(len(column), dtype=object)
        position = 0
        for chunk in column.chunks:
            flat, ends = chunk.flatten().to_numpy(zero_copy_only=False), np.cumsum(chunk.value_lengths().to_numpy())
            for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=False):
                values[position] = flat[start:end]
                position += 1
        return values
    if column.num_chunks == 1:
        return column.chunk(0).to_numpy(zero_copy_only=False)
    return column.to_numpy()
