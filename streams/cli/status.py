"""``pinstream status``: each part as it is now."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from infra import supervisor
from streams.settings import Settings

MEGABYTE = 1024 * 1024


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(as_json: bool) -> None:
    """Show each part, where it listens and how much memory it holds. Exit status 1 unless all are ready."""
    settings = Settings.load()
    parts = supervisor.status(settings)
    servers = {name: getattr(settings, name) for name in supervisor.PARTS if name not in {part.name for part in parts}}
    if as_json:
        click.echo(json.dumps({"parts": [asdict(part) for part in parts], "servers": servers}))
    else:
        for part in parts:
            memory = f"{part.resident_bytes // MEGABYTE:,} MB" if part.resident_bytes else "-"
            click.echo(f"{part.name:12} {part.state:9} {part.pid or '-':>8} {memory:>9}  {part.address}")
        for name, address in servers.items():
            click.echo(f"{name:12} {'server':9} {'-':>8} {'-':>9}  {address}")
    sys.exit(0 if all(part.state == "ready" for part in parts) else 1)
