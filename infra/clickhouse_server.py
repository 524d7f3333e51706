"""ClickHouse's HTTP interface over an embedded engine: ``python -m infra.clickhouse_server --folder …``.

One process owns the folder; workers, the command line and Grafana are its clients. It listens on loopback only,
unless a password is set (``PINSTREAM_CLICKHOUSE_PASSWORD``).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import hmac
import ipaddress
import json
import os
import signal
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import lz4.frame
import zstandard
from aiohttp import web

from infra import clickhouse_claims, clickhouse_damage, clickhouse_memory, clickhouse_merges
from infra import clickhouse_request as requests
from infra.clickhouse_claims import Claims
from infra.clickhouse_engine import Answer, Engine, QueryError, Statement
from infra.clickhouse_folder import FolderInUse
from streams.stores.clickhouse_sql import CLAIMS_HEADER, MEMORY_HEADER

PASSWORD = "PINSTREAM_CLICKHOUSE_PASSWORD"  # noqa: S105 (the name of the variable)
#: Largest request; an insert is held in memory until it is parsed.
MAX_BODY = 1 << 30
#: Seconds that inserts are held back at most.
LONGEST_STILL = 60.0
#: ClickHouse error code → HTTP status, as ClickHouse's own server answers; all others 500.
_STATUS = {
    62: 400,
    36: 400,
    6: 400,
    27: 400,
    48: 501,
    60: 404,
    81: 404,
    115: 404,
    46: 404,
    159: 408,
    164: 403,
    516: 403,
}
_ENCODERS = {
    "zstd": zstandard.ZstdCompressor(level=1).compress,
    "lz4": lz4.frame.compress,
    "gzip": lambda body: gzip.compress(body, 1),
}
_CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "ArrowStream": "application/vnd.apache.arrow.stream",
    "Native": "application/octet-stream",
}


class Server:
    """The routes. ``password`` empty: anyone who reaches the port, which is then on loopback."""

    def __init__(self, engine: Engine, claims: Claims, password: str = "") -> None:
        self.engine, self.claims, self.password = engine, claims, password

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/ping", self.ok)
        app.router.add_get("/replicas_status", self.ok)
        app.router.add_get("/", self.query)
        app.router.add_post("/", self.query)
        app.router.add_post("/claims", self.claim)
        app.router.add_post("/still", self.still)
        return app

    async def ok(self, request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def claim(self, request: web.Request) -> web.Response:
        """A JSON list of partitions, ``["saves:0"]``; answers partition → claim. Ours, not ClickHouse's."""
        try:
            self._admit(request)
            # Shielded: who hangs up may have the claim all the same, and nobody else loses time.
            return web.json_response(await asyncio.shield(self.claims.take(await request.json())))
        except QueryError as error:
            return self._refused(error, {})

    async def still(self, request: web.Request) -> web.Response:
        """A number of seconds to hold claimed inserts back for, or the name that was answered to let them go on."""
        try:
            self._admit(request)
            asked = await request.json()
            if isinstance(asked, str):
                await self.claims.go_on(asked)
                return web.json_response(None)
            return web.json_response(await self.claims.still(min(float(asked), LONGEST_STILL)))
        except QueryError as error:
            return self._refused(error, {})

    async def query(self, request: web.Request) -> web.Response:
        headers = {
            "X-ClickHouse-Query-Id": request.query.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Server-Display-Name": "pinstream",
            "X-ClickHouse-Timezone": "UTC",
        }
        try:
            self._admit(request)
            if request.method == "GET" and not request.query_string:
                return web.Response(text="Ok.\n")
            statement = await requests.read(request)
            claims = clickhouse_claims.read(request.headers.get(CLAIMS_HEADER, ""))
            # Shielded: a client that hangs up does not leave a half-told insert; it ends, and its token counts.
            answer = await asyncio.shield(self._run(statement, claims, request.headers.get(MEMORY_HEADER, "")))
        except QueryError as error:
            return self._refused(error, headers)
        return await self._respond(request, statement, answer, headers)

    def _refused(self, error: QueryError, headers: dict[str, str]) -> web.Response:
        text = f"{error} (version {self.engine.version} (chdb))\n"
        headers["X-ClickHouse-Exception-Code"] = str(error.code)
        return web.Response(status=_STATUS.get(error.code, 500), text=text, headers=headers)

    async def _run(self, statement: Statement, claims: dict[str, str], memory: str = "") -> Answer:
        if memory:
            with clickhouse_memory.opened(memory) as file:
                return await self._run(replace(statement, file=file), claims)
        writes = statement.data is not None or requests.is_write(statement.sql)
        pool = self.engine.writers if writes else self.engine.readers
        async with self.claims.writing(claims):
            return await asyncio.get_running_loop().run_in_executor(pool, self.engine.run, statement)

    async def _respond(
        self, request: web.Request, statement: Statement, answer: Answer, headers: dict[str, str]
    ) -> web.Response:
        name = requests.output_format(statement)
        headers |= {
            "X-ClickHouse-Format": name,
            "X-ClickHouse-Summary": json.dumps(
                {
                    "read_rows": str(answer.read_rows),
                    "read_bytes": str(answer.read_bytes),
                    "written_rows": str(answer.written_rows),
                    "written_bytes": str(answer.written_bytes),
                    "total_rows_to_read": "0",
                    "result_rows": "0",
                    "result_bytes": str(len(answer.body)),
                    "elapsed_ns": str(int(answer.elapsed * 1e9)),
                }
            ),
            "Content-Type": _CONTENT_TYPES.get(name, "text/plain; charset=UTF-8"),
        }
        body = answer.body
        if body and request.query.get("enable_http_compression") in ("1", "true"):
            accepted = request.headers.get("Accept-Encoding", "")
            encoding = next((encoding for encoding in _ENCODERS if encoding in accepted), "")
            if encoding:
                headers["Content-Encoding"] = encoding
                body = await asyncio.to_thread(_ENCODERS[encoding], body)
        return web.Response(body=body, headers=headers)

    def _admit(self, request: web.Request) -> None:
        # A page in a browser may reach loopback; it always says where it comes from. No client of ours does.
        if "Origin" in request.headers:
            raise QueryError("Code: 516. DB::Exception: Requests of web pages are refused. (AUTHENTICATION_FAILED)")
        if not self.password:
            if not _is_loopback(request.host.rsplit(":", 1)[0].strip("[]")):
                raise QueryError(f"Code: 516. DB::Exception: Unknown host {request.host}. (AUTHENTICATION_FAILED)")
            return
        given = request.headers.get("X-ClickHouse-Key") or request.query.get("password") or _basic(request)
        if not hmac.compare_digest(given.encode(), self.password.encode()):
            raise QueryError("Code: 516. DB::Exception: Password is incorrect. (AUTHENTICATION_FAILED)")


def _basic(request: web.Request) -> str:
    scheme, _, code = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(code).decode().partition(":")[2]
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def serve(folder: Path, host: str, port: int, password: str) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs and close the folder."""
    engine = Engine(folder)
    for name in engine.mended.mended:
        print(f"damaged by a full disk, what it was made of takes its place: {name}", file=sys.stderr, flush=True)
    for name in engine.mended.inserts:
        print(f"an insert damaged by a full disk, to be repeated: {name}", file=sys.stderr, flush=True)
    for name in engine.mended.lost:
        print(
            f"DAMAGED BY A FULL DISK AND NOT MENDED, what it was made of is gone: {name}; "
            "read the events again from Kafka into an empty ledger (docs/exactness.md)",
            file=sys.stderr,
            flush=True,
        )
    for name in engine.torn:
        print(f"forgot the token of an insert that a crash cut off: {name}", file=sys.stderr, flush=True)
    claims = Claims(folder.with_name(folder.name + ".claims"))
    runner = web.AppRunner(Server(engine, claims, password).application(), access_log=None, shutdown_timeout=10)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watches = [
        asyncio.create_task(each) for each in (clickhouse_damage.watch(engine.look, stop), clickhouse_merges.watch())
    ]
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        print(f"ClickHouse {engine.version} on http://{host}:{port}, folder {folder}", flush=True)
        await stop.wait()
    finally:
        for watch in watches:
            watch.cancel()
        await runner.cleanup()
        await asyncio.to_thread(engine.close)


def main() -> None:
    parser = argparse.ArgumentParser(description="Embedded ClickHouse with ClickHouse's HTTP interface.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123)
    arguments = parser.parse_args()
    password = os.environ.get(PASSWORD, "")
    if not _is_loopback(arguments.host) and not password:
        sys.exit(f"refusing to listen on {arguments.host} without a password: set {PASSWORD} or use 127.0.0.1")
    try:
        asyncio.run(serve(arguments.folder.resolve(), arguments.host, arguments.port, password))
    except (FolderInUse, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
