"""``pinstream objects``: what was seen in a pin."""

from __future__ import annotations

import json

import click

from streams.cli.ask import ask
from streams.cli.tables import table


@click.command(name="objects")
@click.argument("pin")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
def command(pin: str, as_json: bool) -> None:
    """Print the objects of PIN, numbered as `pinstream similar --object` counts them.

    Needs a running worker.
    """
    body = ask("pins", pin, "objects")
    if as_json:
        click.echo(json.dumps(body))
        return
    rows = [(place, one["label"], one["confidence"], *one["box"]) for place, one in enumerate(body["objects"])]
    click.echo(table(("number", "label", "confidence", "left", "top", "right", "bottom"), rows))
