"""The embedded server speaks ClickHouse's HTTP interface well enough for clients that are not ours."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import clickhouse_connect
import pytest

from streams.settings import PROJECT
from tests.clickhouse_process import EmbeddedServer, free_port

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path_factory.mktemp("server") / "clickhouse")
    server.start()
    yield server
    assert server.stop() == 0


def ask(
    server: EmbeddedServer, body: bytes | None = None, headers: dict[str, str] | None = None, **arguments: str
) -> tuple[int, dict[str, str], bytes]:
    """One request as curl would send it: GET without a body, POST with one."""
    request = urllib.request.Request(f"{server.url}/?{urllib.parse.urlencode(arguments)}", body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_clickhouse_connect(server: EmbeddedServer, compress: bool | str) -> None:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=server.port, compress=compress)
    client.command("DROP TABLE IF EXISTS people")
    client.command("CREATE TABLE people (id Int64, name String, tags Array(String)) ENGINE = MergeTree ORDER BY id")
    rows = [[number, f"name {number}", ["a", "b'"]] for number in range(5000)]
    assert client.insert("people", rows, column_names=["id", "name", "tags"]).written_rows == 5000
    answer = client.query("SELECT * FROM people WHERE id > {low:Int64} ORDER BY id", parameters={"low": 4997})
    assert answer.result_rows == [(4998, "name 4998", ["a", "b'"]), (4999, "name 4999", ["a", "b'"])]
    client.insert_arrow("people", client.query_arrow("SELECT * FROM people"))
    assert client.query("SELECT count() FROM people", settings={"max_threads": 1}).first_row == (10000,)
    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match="UNKNOWN_TABLE"):
        client.query("SELECT * FROM nowhere")
    client.close()


def test_json_as_grafana_asks(server: EmbeddedServer) -> None:
    sql = b"SELECT toUnixTimestamp(toDateTime('2024-01-01 00:00:00', 'UTC')) * 1000 AS t, 5 AS saves FORMAT JSON"
    status, headers, body = ask(server, sql, database="default", add_http_cors_header="1")
    assert status == 200, body
    assert headers["X-ClickHouse-Format"] == "JSON"
    assert headers["Content-Type"].startswith("application/json")
    document = json.loads(body)
    assert [column["name"] for column in document["meta"]] == ["t", "saves"]
    assert document["data"] == [{"t": 1704067200000, "saves": 5}] or document["data"][0]["t"] == "1704067200000"


def test_curl(server: EmbeddedServer) -> None:
    assert ask(server)[2] == b"Ok.\n"
    with urllib.request.urlopen(f"{server.url}/ping") as answer:
        assert answer.read() == b"Ok.\n"
    with urllib.request.urlopen(f"{server.url}/replicas_status") as answer:
        assert answer.read() == b"Ok.\n"
    assert ask(server, query="SELECT 1, 'a'")[2] == b"1\ta\n"
    assert ask(server, query="SELECT 1 AS one", default_format="JSONEachRow")[2] == b'{"one":1}\n'
    assert ask(server, query="SELECT {n:UInt8} + 1", param_n="41")[2] == b"42\n"
    assert ask(server, b"DROP TABLE IF EXISTS words")[0] == 200
    assert ask(server, b"CREATE TABLE words (a Int64, b String) ENGINE = Memory")[0] == 200
    status, headers, _ = ask(server, b"1\tFORMAT\n2\ttwo\n", query="INSERT INTO words FORMAT TabSeparated")
    assert (status, json.loads(headers["X-ClickHouse-Summary"])["written_rows"]) == (200, "2")
    assert ask(server, b"INSERT INTO words FORMAT CSV\n3,three\n")[0] == 200
    assert ask(server, b"INSERT INTO words VALUES (4, 'four')")[0] == 200
    assert ask(server, b"(5, 'five')", query="INSERT INTO words VALUES")[0] == 200
    assert ask(server, b"INSERT INTO words SELECT a + 5, b FROM words")[0] == 200
    assert (
        ask(server, query="SELECT groupArray(a) FROM (SELECT a FROM words ORDER BY a)")[2]
        == b"[1,2,3,4,5,6,7,8,9,10]\n"
    )


def test_settings_and_databases_stay_with_their_request(server: EmbeddedServer) -> None:
    assert ask(server, query="SELECT getSetting('max_block_size')", max_block_size="77")[2] == b"77\n"
    assert ask(server, query="SELECT getSetting('max_block_size')")[2] != b"77\n"
    assert ask(server, query="SELECT currentDatabase()", database="system")[2] == b"system\n"
    assert ask(server, query="SELECT currentDatabase()")[2] == b"default\n"
    assert ask(server, query="SELECT 1", database="nowhere")[0] == 404


def test_errors_are_clickhouses_own(server: EmbeddedServer) -> None:
    status, headers, body = ask(server, b"SELEKT 1")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (400, "62")
    assert b"SYNTAX_ERROR" in body
    assert ask(server, b"SELECT * FROM nowhere")[0] == 404
    assert ask(server, b"SELECT 1", no_such_setting="1")[0] == 404
    assert ask(server, query="CREATE TABLE made_by_a_link (a Int8) ENGINE = Memory")[0] == 403
    assert ask(server, b"SELECT 1", {"Origin": "https://example.org"})[0] == 403
    assert ask(server, b"SELECT 1", {"Host": "example.org"})[0] == 403


def test_many_at_once(server: EmbeddedServer) -> None:
    def one(number: int) -> bytes:
        return ask(server, f"SELECT sum(number) + {number} FROM numbers(100000)".encode())[2]

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(one, range(64))) == [b"%d\n" % (4999950000 + number) for number in range(64)]


def test_a_folder_has_one_owner(server: EmbeddedServer) -> None:
    other = EmbeddedServer(server.folder)
    with pytest.raises(RuntimeError, match=r"is owned by process \d+"):
        other.start()


def test_refuses_the_network_without_a_password(server: EmbeddedServer) -> None:
    command = [sys.executable, "-m", "infra.clickhouse_server", "--folder", "unused", "--host", "0.0.0.0"]
    result = subprocess.run(
        [*command, "--port", str(free_port())], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode != 0
    assert "PINSTREAM_CLICKHOUSE_PASSWORD" in result.stderr


def test_a_password_is_asked_for(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSTREAM_CLICKHOUSE_PASSWORD", "a secret")
    with EmbeddedServer(tmp_path_factory.mktemp("password") / "clickhouse") as server:
        assert ask(server, b"SELECT 1")[0] == 403
        assert ask(server, b"SELECT 1", {"X-ClickHouse-Key": "wrong"})[0] == 403
        assert ask(server, b"SELECT 1", {"X-ClickHouse-User": "default", "X-ClickHouse-Key": "a secret"})[0] == 200
        client = clickhouse_connect.get_client(host="127.0.0.1", port=server.port, password="a secret")
        assert client.query("SELECT 1").first_row == (1,)
        client.close()
