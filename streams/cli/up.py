"""``pinstream up``: start the parts, then topics and tables."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict

import click
from confluent_kafka import KafkaException

from infra import supervisor
from infra.migrate import MigrationChanged
from infra.standing import stand_up
from streams.settings import Settings
from streams.stores.clickhouse import ClickHouseError
from streams.stores.protocols import StoreUnavailable


@click.command("up")
@click.option("--json", "as_json", is_flag=True, help="Progress goes to stderr; the last line is one JSON object.")
@click.option("--install-only", is_flag=True, help="Download what the parts need and start nothing.")
def command(as_json: bool, install_only: bool) -> None:
    """Start every embedded part, wait until each is ready, and make topics and tables.

    May be run again at any time: what runs is left alone, what died is started.
    """
    settings = Settings.load()

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    try:
        if install_only:
            supervisor.install(settings, supervisor.embedded(settings), say)
            changes: list[str] = []
        else:
            changes = asyncio.run(stand_up(settings, say))
    except (supervisor.PartFailed, MigrationChanged, KafkaException, StoreUnavailable, ClickHouseError) as error:
        click.echo(f"{error}\n`pinstream doctor` says what is wrong and how to fix it.", err=True)
        sys.exit(1)
    if as_json:
        parts = [asdict(part) for part in supervisor.status(settings)]
        click.echo(json.dumps({"ready": not install_only, "parts": parts, "changes": changes}))
