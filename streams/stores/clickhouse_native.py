"""ClickHouse over its native protocol: the server form. clickhouse-driver in threads, columns both ways."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
from clickhouse_driver import Client
from clickhouse_driver import errors as driver
from numpy.typing import NDArray

from streams.stores.clickhouse_sql import (
    TRANSIENT_CODES,
    UNCUT,
    ClickHouseError,
    bind,
    identifier,
    insert_settings,
)
from streams.stores.protocols import ClaimLost, Claims, Columns, Repeated, StoreUnavailable

PART = "clickhouse"
T = TypeVar("T")


class ClickHouseNative:
    """An :class:`~streams.stores.protocols.EventStore` at ``clickhouse://user:password@host:9000/database``.

    ``clickhouses://`` is TLS. Errors as in :class:`~streams.stores.clickhouse_http.ClickHouseHTTP`. Up to
    ``connections`` statements run at once.
    """

    def __init__(self, url: str, *, timeout: float = 60.0, connections: int = 4) -> None:
        self._url = url
        self._options = f"{'&' if '?' in url else '?'}connect_timeout=5&send_receive_timeout={timeout:g}"
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._threads = ThreadPoolExecutor(connections, "clickhouse")
        self._known: frozenset[str] | None = None

    async def claim(self, partitions: Iterable[tuple[str, int]]) -> Claims:
        last = await self._last_claims()
        taken = {partition: uuid4().hex for partition in partitions}
        # Of two that come in one moment with one number, the claim itself decides; the other finds that it lost.
        columns = {
            "topic": [topic for topic, _ in taken],
            "partition": [number for _, number in taken],
            "number": [last.get(partition, (0, ""))[0] + 1 for partition in taken],
            "claim": list(taken.values()),
        }
        await self.insert("claims", columns)
        return taken

    async def _last_claims(self) -> dict[tuple[str, int], tuple[int, str]]:
        rows = await self.query(
            "SELECT topic, partition, number, claim FROM claims "
            "ORDER BY topic, partition, number DESC, claim DESC LIMIT 1 BY topic, partition"
        )
        if not rows:
            return {}
        columns = (rows[name].tolist() for name in ("topic", "partition", "number", "claim"))
        return {(topic, partition): (number, claim) for topic, partition, number, claim in zip(*columns, strict=True)}

    async def _require(self, claims: Claims) -> None:
        last = await self._last_claims()
        if lost := [partition for partition, claim in claims.items() if last.get(partition, (0, ""))[1] != claim]:
            raise ClaimLost(f"another worker has claimed {lost}")

    @asynccontextmanager
    async def still(self, seconds: float) -> AsyncGenerator[None]:
        """A server takes inserts from anybody at any time: nothing is held back."""
        yield

    async def insert(self, table: str, columns: Columns, *, token: str = "", claims: Claims | None = None) -> None:
        names = ", ".join(identifier(name) for name in columns)
        # Arrays cost the caller a fifth of what lists of objects do; the driver takes all columns so, or none.
        plain = all(_is_plain(values) for values in columns.values())
        data = [_array(values) if plain else _listed(values) for values in columns.values()]
        if not data or not len(data[0]):
            return
        if claims:
            # Just before, not in one step with the insert: docs/decisions/0006-fence.md says what that leaves.
            await self._require(claims)

        def run(client: Client) -> None:
            settings = {name: value for name, value in insert_settings(token).items() if name in self._settings(client)}
            client.execute(
                f"INSERT INTO {identifier(table)} ({names}) VALUES",
                data,
                columnar=True,
                types_check=False,
                settings={**settings, "insert_block_size": UNCUT, "use_numpy": plain},
            )

        await self._run(run)

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, NDArray[Any]]:
        text = bind(sql, parameters)

        def run(client: Client) -> tuple[list[Any], list[tuple[str, str]]]:
            # The driver's own types name every shape that its options can give; these options give this one.
            return client.execute(text, columnar=True, with_column_types=True)  # pyright: ignore[reportReturnType]

        columns, types = await self._run(run)
        if not columns:
            return {}
        return {name: _numpy(values, kind) for values, (name, kind) in zip(columns, types, strict=True)}

    async def command(self, sql: str) -> None:
        def run(client: Client) -> None:
            client.execute(sql)

        await self._run(run)

    async def close(self) -> None:
        self._threads.shutdown(wait=True)
        while not self._idle.empty():
            self._idle.get_nowait().disconnect()

    async def _run(self, work: Callable[[Client], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._with_client, work)

    def _with_client(self, work: Callable[[Client], T]) -> T:
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = Client.from_url(self._url + self._options)
        try:
            result = work(client)
        except driver.ServerException as error:
            client.disconnect()
            text = str(error).partition("Stack trace:")[0].strip()
            if error.code in TRANSIENT_CODES:
                raise StoreUnavailable(PART, text, retry_after=2.0) from error
            raise ClickHouseError(error.code or 0, text) from error
        except (driver.Error, OSError, EOFError) as error:
            client.disconnect()
            raise StoreUnavailable(PART, f"the server does not answer ({error})") from error
        except BaseException:
            client.disconnect()
            raise
        self._idle.put(client)
        return result

    def _settings(self, client: Client) -> frozenset[str]:
        """The settings this server knows: an old one refuses what came after it."""
        if self._known is None:
            rows: list[tuple[str]] = client.execute("SELECT name FROM system.settings")  # pyright: ignore[reportAssignmentType]
            self._known = frozenset(name for (name,) in rows)
        return self._known


def _is_plain(values: Any) -> bool:
    return isinstance(values, Repeated) or (
        isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biuf"
    )


def _array(values: Any) -> NDArray[Any]:
    if isinstance(values, Repeated):
        return np.repeat(np.array(values.values, object), values.counts)
    return values


def _listed(values: Any) -> list[Any]:
    if isinstance(values, Repeated):
        return [value for value, count in zip(values.values, values.counts, strict=True) for _ in range(count)]
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


_DTYPES: dict[str, np.dtype[Any]] = {
    **{f"{sign}Int{bits}": np.dtype(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "Float32": np.dtype(np.float32),
    "Float64": np.dtype(np.float64),
    "Bool": np.dtype(np.bool_),
}


def _numpy(values: Any, kind: str) -> NDArray[Any]:
    if kind in _DTYPES:
        return np.array(values, dtype=_DTYPES[kind])
    column = np.empty(len(values), dtype=object)
    item_type = _DTYPES.get(kind[6:-1]) if kind.startswith("Array(") else None
    for index, value in enumerate(values):
        column[index] = np.array(value, dtype=item_type) if item_type is not None else value
    return column
