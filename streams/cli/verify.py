"""``pinstream verify``: compare every sum in ClickHouse with a recount of the raw events."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict

import click

from streams.recount import Comparison, recount
from streams.settings import Settings
from streams.stores.clickhouse import ClickHouseError, open_event_store
from streams.stores.protocols import StoreUnavailable


@click.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--timeout", default=600.0, show_default=True, help="Seconds that one comparison may take.")
def command(as_json: bool, timeout: float) -> None:
    """Recount everything from the raw events and compare.

    Exit status 1 if anything differs, 2 if ClickHouse does not answer.
    """
    try:
        results = asyncio.run(_recount(timeout))
    except (StoreUnavailable, ClickHouseError) as error:
        click.echo(f"{error}\nIs it running? `pinstream up` starts it.", err=True)
        sys.exit(2)
    equal = all(result.equal for result in results)
    if as_json:
        tables = [{**asdict(result), "equal": result.equal} for result in results]
        click.echo(json.dumps({"equal": equal, "tables": tables}, default=str))
    else:
        for result in results:
            click.echo(f"{result.table:42} {result.rows:>12,} rows  {'equal' if result.equal else 'DIFFERENT'}")
            for difference in result.differences:
                click.echo(f"    {difference}")
            if result.different > len(result.differences):
                click.echo(f"    … {result.different:,} differ")
    sys.exit(0 if equal else 1)


async def _recount(longest: float) -> list[Comparison]:
    store = open_event_store(Settings.load(), timeout=longest)
    try:
        return await recount(store)
    finally:
        await store.close()
