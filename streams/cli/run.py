"""``pinstream run``: everything, and whatever dies is started again."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import click
from confluent_kafka import KafkaException

from infra import supervisor
from infra.keeper import Keeper, parts_and_workers
from infra.migrate import MigrationChanged
from infra.process import remember, remembered
from infra.standing import stand_up
from streams.cli.interrupt import stop_on_interrupt
from streams.settings import Settings
from streams.stores.clickhouse import ClickHouseError
from streams.stores.protocols import StoreUnavailable

#: Workers may store what is under way before they end, and the parts end after them.
STOP_SECONDS = 120.0


@click.command("run")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(0), help="Worker processes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each start and end of a process.")
def command(workers: int, as_json: bool) -> None:
    """Start every embedded part and so many workers; whatever dies is started again, until stopped.

    A process that dies soon after its start waits longer each time, up to ten seconds. Ctrl-C stops
    all of it. The API of worker n listens 100 n ports above the first one's.
    """
    settings = Settings.load()

    def told(what: str, name: str, pid: int, detail: str) -> None:
        if as_json:
            line = {"at": round(time.time(), 3), "what": what, "name": name, "pid": pid, "detail": detail}
            click.echo(json.dumps(line))
        else:
            click.echo(f"{name}: {what}" + (f" (pid {pid})" if pid else "") + (f": {detail}" if detail else ""))

    if other := remembered(settings, "run"):
        raise click.ClickException(
            f"`pinstream run` keeps {settings.home} already (pid {other.pid}); `pinstream down` ends it."
        )
    with stop_on_interrupt() as stop:
        remember(settings, "run", os.getpid(), STOP_SECONDS)
        keeper = Keeper(settings, parts_and_workers(settings, workers), told)
        try:
            asyncio.run(stand_up(settings, lambda line: click.echo(line, err=as_json)))
            keeper.run(stop)
        except (supervisor.PartFailed, MigrationChanged, KafkaException, StoreUnavailable, ClickHouseError) as error:
            click.echo(f"{error}\n`pinstream doctor` says what is wrong and how to fix it.", err=True)
            sys.exit(1)
        finally:
            keeper.stop()
            (settings.home / "run" / "run.json").unlink(missing_ok=True)
