"""``pinstream interests``: what a pinner is interested in."""

from __future__ import annotations

import json

import click

from streams.cli.ask import ask
from streams.cli.tables import moment, table


@click.command(name="interests")
@click.argument("pinner")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
def command(pinner: str, as_json: bool) -> None:
    """Print the interests of PINNER: pins that stand for what they did, and topics, the most important first.

    Needs a running worker.
    """
    body = ask("pinners", pinner, "interests")
    if as_json:
        click.echo(json.dumps(body))
        return
    rows = [
        (each["pin"], f"{each['importance']:.2f}", each["actions"], moment(each["since"]), moment(each["latest"]))
        for each in body["medoids"]
    ]
    click.echo(table(("medoid", "importance", "actions", "since", "latest"), rows))
    click.echo()
    rows = [(each["topic"], f"{each['weight']:.3f}", moment(each["since"])) for each in body["topics"]]
    click.echo(table(("topic", "weight", "since"), rows))
    if body["chosen"]:
        click.echo(f"\nchosen {moment(body['chosen']['since'])}: {', '.join(body['chosen']['topics'])}")
    if body["degraded"]:
        click.echo(f"\nwithout: {', '.join(body['degraded'])}")
