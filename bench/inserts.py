"""Blocks of engagement into ClickHouse: by clickhouse-driver to a real server, and over HTTP to the embedded process.

In turns, in one run, the same blocks into the same raw table, which has the types that the older of the two knows. The
server is whatever ``clickhouse-server`` is installed, or ``--server``. Where it knows the engine's own schema (22 or
later), ``python -m bench engagement --clickhouse clickhouse://…`` measures the whole path with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import ExitStack, suppress
from dataclasses import fields
from typing import Any
from urllib.parse import urlsplit

import click
import numpy as np
import psutil

from bench._clickhouse_server import NoServer, server
from infra import supervisor
from infra.migrate import SQL, statements
from operators.batch import Engagement, Source
from streams.cli.running import EngineFailed, home_of_its_own, link_installed
from streams.engagement_writer import block_columns
from streams.settings import Settings
from streams.stores.clickhouse import open_event_store
from streams.stores.clickhouse_native import ClickHouseNative
from streams.stores.clickhouse_sql import ClickHouseError
from streams.stores.protocols import Columns, EventStore

TABLE, SCHEMA = "engagement_inserts", "pinstream_schema"
#: The raw table's columns without indexes, as servers since 2018 know them.
DDL = f"""
CREATE TABLE {TABLE} (
    topic {{text}}, partition UInt16, first Int64, last Int64, block Int64,
    offset Int64, logged Int64, time Int64, event_id Int64, kind UInt8,
    pinner Int64, pin Int64, board Int64, slate Int64, position Int16, surface UInt8,
    owner Int64, domain Int64, is_follower UInt8
) ENGINE = MergeTree ORDER BY (topic, partition, offset)"""
#: From this version on a server has LowCardinality, without being asked to allow it.
LOW_CARDINALITY = 19
#: Batches of a block: some of each topic.
TOPICS = ("clicks", "impressions", "saves")


def block(number: int, rows: int) -> Columns:
    """The columns of one block as the worker makes them, of random events; the same for the same number."""
    random = np.random.default_rng(number)
    each = rows // len(TOPICS)
    batches: list[Engagement] = []
    for topic in TOPICS:
        first = number * each
        columns: dict[str, Any] = {
            field.name: random.integers(0, 1 << 62, each) for field in fields(Engagement) if field.name != "source"
        }
        columns |= {name: random.integers(0, 2, each).astype(np.uint8) for name in ("kind", "surface", "is_follower")}
        columns |= {"offset": np.arange(first, first + each), "position": np.zeros(each, np.int16)}
        batches.append(Engagement(source=Source(topic, 0, first, first + each - 1), **columns))
    return block_columns(batches, number)


@click.command("inserts")
@click.option("--rows", default=300_000, show_default=True, help="Rows of a block.")
@click.option("--rounds", default=7, show_default=True, help="Blocks into each.")
@click.option("--server", "address", default="", help="clickhouse://user:password@host:9000/database instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def command(rows: int, rounds: int, address: str, as_json: bool) -> None:
    """Measure rows/s of the engagement block over the native protocol and over HTTP."""
    try:
        found = measure(Settings.load(), rows, rounds, address)
    except (EngineFailed, supervisor.PartFailed, NoServer) as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(found) if as_json else "\n".join(f"{name:<52}{value}" for name, value in found.items()))


def measure(installed: Settings, rows: int, rounds: int, address: str = "") -> dict[str, Any]:
    """All figures. Raises EngineFailed, PartFailed and NoServer."""
    settings = home_of_its_own(installed, "bench-inserts")
    link_installed(installed.home, settings.home)
    with ExitStack() as stack:
        pids: dict[str, int] = {}
        if not address:
            address, pids["native"] = stack.enter_context(server(settings.home / "data" / "server"))
        stack.callback(supervisor.down, settings, _say)
        supervisor.up(settings, _say, names=["clickhouse"])
        pids["http"] = next(part.pid for part in supervisor.status(settings) if part.name == "clickhouse" and part.pid)
        return asyncio.run(_measure(settings, address, pids, rows, rounds))


async def _measure(settings: Settings, address: str, pids: dict[str, int], rows: int, rounds: int) -> dict[str, Any]:
    stores: dict[str, EventStore] = {"native": ClickHouseNative(address), "http": open_event_store(settings)}
    found: dict[str, Any] = {"cores": os.cpu_count(), "rows of a block": rows, "blocks": rounds}
    try:
        versions = {name: str((await store.query("SELECT version() AS v"))["v"][0]) for name, store in stores.items()}
        old = int(versions["native"].split(".")[0]) < LOW_CARDINALITY
        for store in stores.values():
            await store.command(f"DROP TABLE IF EXISTS {TABLE}")
            await store.command(DDL.format(text="String" if old else "LowCardinality(String)"))
        found |= {f"ClickHouse, {name}": version for name, version in versions.items()}
        found["statements of the schema that the native one takes"] = await _schema(stores["native"], address)
        seconds: dict[str, list[float]] = {name: [] for name in stores}
        mine: dict[str, float] = dict.fromkeys(stores, 0.0)
        theirs: dict[str, float] = dict.fromkeys(pids, 0.0)
        for number in range(rounds + 1):  # the first warms up
            columns = block(number, rows)
            for name, store in stores.items():
                own, other = time.process_time(), _cpu(pids[name]) if name in pids else 0.0
                began = time.perf_counter()
                await store.insert(TABLE, columns, token=f"{name}-{number}")
                if number:
                    seconds[name].append(time.perf_counter() - began)
                    mine[name] += time.process_time() - own
                    if name in pids:
                        theirs[name] += _cpu(pids[name]) - other
        size = rows // len(TOPICS) * len(TOPICS)
        for name, store in stores.items():
            found[f"{name}: rows/s, median of blocks"] = round(size / float(np.median(seconds[name])))
            found[f"{name}: rows/s, best block"] = round(size / min(seconds[name]))
            found[f"{name}: CPU of the caller, us a row"] = round(mine[name] / size / rounds * 1e6, 2)
            if name in pids:
                found[f"{name}: CPU of ClickHouse, us a row"] = round(theirs[name] / size / rounds * 1e6, 2)
            stored = await store.query(f"SELECT count() AS n, uniqExact(topic, offset) AS u FROM {TABLE}")
            found[f"{name}: every row is there once"] = (
                int(stored["n"][0]) == int(stored["u"][0]) == size * (rounds + 1)
            )
            await store.command(f"DROP TABLE {TABLE}")
    finally:
        for store in stores.values():
            await store.close()
    return found


async def _schema(store: EventStore, address: str) -> str:
    """How many statements of the engine's schema the server takes, in a database of their own."""
    await store.command(f"DROP DATABASE IF EXISTS {SCHEMA}")
    await store.command(f"CREATE DATABASE {SCHEMA}")
    apart = ClickHouseNative(urlsplit(address)._replace(path=f"/{SCHEMA}").geturl())
    taken = count = 0
    for statement in (each for path in sorted(SQL.glob("[0-9]*.sql")) for each in statements(path.read_text())):
        count += 1
        with suppress(ClickHouseError):
            await apart.command(statement)
            taken += 1
    await apart.close()
    await store.command(f"DROP DATABASE {SCHEMA}")
    return f"{taken} of {count}"


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    command()
