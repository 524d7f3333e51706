"""``pinstream down``: stop the parts."""

from __future__ import annotations

import json

import click

from infra import supervisor
from infra.process import remembered
from streams.settings import Settings


@click.command("down")
@click.option("--json", "as_json", is_flag=True, help="Progress goes to stderr; the last line is one JSON object.")
def command(as_json: bool) -> None:
    """Stop every part that was started from this home, and ``pinstream run`` with its workers. Data stays."""
    said: list[str] = []
    settings = Settings.load()

    def say(line: str) -> None:
        said.append(line)
        click.echo(line, err=as_json)

    if keeper := remembered(settings, "run"):  # it would start again what is stopped here
        keeper.stop()
        say("run: stopped")
    supervisor.down(settings, say, [*supervisor.workers(settings), *supervisor.PARTS])
    if as_json:
        click.echo(json.dumps({"stopped": [line.split(":")[0] for line in said]}))
    elif not said:
        click.echo("nothing was running")
