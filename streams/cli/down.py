"""``pinstream down``: stop the parts."""

from __future__ import annotations

import json

import click

from infra import supervisor
from streams.settings import Settings


@click.command("down")
@click.option("--json", "as_json", is_flag=True, help="Progress goes to stderr; the last line is one JSON object.")
def command(as_json: bool) -> None:
    """Stop every part that was started from this home. Data stays."""
    said: list[str] = []
    supervisor.down(Settings.load(), lambda line: (said.append(line), click.echo(line, err=as_json))[0])
    if as_json:
        click.echo(json.dumps({"stopped": [line.split(":")[0] for line in said]}))
    elif not said:
        click.echo("nothing was running")
