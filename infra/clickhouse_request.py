"""From an HTTP request to a statement: ClickHouse's HTTP interface, as its clients and Grafana speak it.

https://clickhouse.com/docs/interfaces/http
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import lz4.frame
import zstandard
from aiohttp import web

from infra.clickhouse_engine import QueryError, Statement

#: Parameters of the interface itself; everything else in the URL is a setting of ClickHouse.
_TRANSPORT = frozenset(
    {
        *("query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "stacktrace"),
        *(
            "session_id",
            "session_timeout",
            "session_check",
            "buffer_size",
            "wait_end_of_query",
            "compress",
            "decompress",
        ),
        *("enable_http_compression", "http_zlib_compression_level", "client_protocol_version"),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        *("cancel_http_readonly_queries_on_client_close", "http_write_exception_in_output_format"),
    }
)
#: INSERT … FORMAT <name>, then the data: after one line break, as ClickHouse reads it.
_INSERT = re.compile(rb"^(\s*INSERT\s+INTO\s.*?)\sFORMAT\s+(\w+)[ \t;]*\r?(?:\n|$)", re.IGNORECASE | re.DOTALL)
_WRITES = re.compile(r"^\s*(INSERT|CREATE|ALTER|DROP|TRUNCATE|OPTIMIZE|RENAME|EXCHANGE|DELETE|UPDATE)\b", re.IGNORECASE)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^']*)?;?\s*$", re.IGNORECASE)

_DECODE: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
    "lz4": lz4.frame.decompress,
}
_MAGIC = {"zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18"}


def is_write(sql: str) -> bool:
    return bool(_WRITES.match(sql))


def output_format(statement: Statement) -> str:
    """The format that the answer is in."""
    found = _FORMAT.search(statement.sql)
    return found[1] if found else statement.output_format


async def read(request: web.Request) -> Statement:
    """The statement of a request. Raises QueryError when there is none or it cannot be carried."""
    arguments: dict[str, str] = dict(request.query)
    # curl and urllib call any body a form; as in ClickHouse, only a multipart one is.
    if request.content_type == "multipart/form-data":
        form = await request.post()
        body = b""
        for name, value in form.items():
            if not isinstance(value, str):
                raise QueryError("Code: 48. DB::Exception: External tables are not supported. (NOT_IMPLEMENTED)")
            arguments[name] = value
    else:
        body = decoded(await request.read(), request.headers.get("Content-Encoding", ""))
    if arguments.get("decompress") in ("1", "true") or arguments.get("compress") in ("1", "true"):
        raise QueryError(
            "Code: 48. DB::Exception: ClickHouse's own block compression is not supported here; "
            "use Content-Encoding and Accept-Encoding (gzip, zstd, lz4). (NOT_IMPLEMENTED)"
        )
    query = arguments.get("query", "").encode()
    if not query:
        query, body = body, b""
    if not (query.strip() or body.strip()):
        raise QueryError("Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)")
    settings = {name: value for name, value in arguments.items() if _is_setting(name)}
    if request.method == "GET":
        settings["readonly"] = "2"  # as ClickHouse does: a link must not change data
    return _statement(
        query,
        body,
        output_format=request.headers.get("X-ClickHouse-Format") or arguments.get("default_format") or "TabSeparated",
        database=request.headers.get("X-ClickHouse-Database") or arguments.get("database", ""),
        settings=settings,
        parameters={name[6:]: value for name, value in arguments.items() if name.startswith("param_")},
    )


def _is_setting(name: str) -> bool:
    return name not in _TRANSPORT and not name.startswith("param_")


def _statement(
    query: bytes,
    body: bytes,
    *,
    output_format: str,
    database: str,
    settings: Mapping[str, str],
    parameters: Mapping[str, str],
) -> Statement:
    insert = _INSERT.match(query)
    if body and not (insert and insert.end() == len(query)):
        query, body = query + b"\n" + body, b""
        insert = _INSERT.match(query)
    # An insert of megabytes is its body as it came: nothing copies it.
    data = body or (query[insert.end() :] if insert else b"")
    # INSERT … SELECT … FORMAT x has no data of its own; VALUES are parsed with the statement.
    inline = insert is not None and insert[2].upper() != b"VALUES" and (data or not _selects(insert[1]))
    try:
        sql = (insert[1] if inline and insert else query + (b"\n" + body if body else b"")).decode()
    except UnicodeDecodeError:
        raise QueryError(
            "Code: 62. DB::Exception: The statement is not UTF-8; data needs INSERT INTO … FORMAT. (SYNTAX_ERROR)"
        ) from None
    return Statement(
        sql=sql,
        output_format=output_format,
        data=data if inline else None,
        data_format=insert[2].decode() if inline and insert else "",
        database=database,
        settings=dict(settings),
        parameters=dict(parameters),
    )


def _selects(insert: bytes) -> bool:
    return bool(re.search(rb"\b(SELECT|WITH)\b", insert, re.IGNORECASE))


def decoded(body: bytes, encoding: str) -> bytes:
    """``body`` without its Content-Encoding (the web server has already undone gzip and deflate)."""
    if encoding in _DECODE and body.startswith(_MAGIC[encoding]):
        return _DECODE[encoding](body)
    return body
