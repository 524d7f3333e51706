"""``pinstream annotations``: what a pin is about."""

from __future__ import annotations

import json

import click

from streams.cli.ask import ask
from streams.cli.tables import table


@click.command(name="annotations")
@click.argument("pin")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
def command(pin: str, as_json: bool) -> None:
    """Print phrases that say what PIN is about, and its interests, surest first.

    Needs a running worker.
    """
    body = ask("pins", pin, "annotations")
    if as_json:
        click.echo(json.dumps(body))
        return
    for heading, name in (("annotation", "phrase"), ("interest", "interest")):
        click.echo(table((heading, "confidence"), [(each[name], each["confidence"]) for each in body[f"{heading}s"]]))
        click.echo()
    if not body["neighbours"]:
        click.echo("By its own text alone: it has not been seen yet.")
