"""``pinstream stats``: what was counted for a pin, pinner or domain, and its quality."""

from __future__ import annotations

import json
from typing import Any

import click

from streams.cli.ask import ask
from streams.cli.tables import moment, table

COUNTS = ("impressions", "closeups", "outbound_clicks", "saves", "hides", "engagement")


@click.command(name="stats")
@click.argument("kind", type=click.Choice(["pin", "pinner", "domain"]))
@click.argument("identity", metavar="ID")
@click.option("--hours", type=click.IntRange(1, 87_600), help="Latest hours to show one by one.  [default: a week]")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
def command(kind: str, identity: str, hours: int | None, as_json: bool) -> None:
    """Print counts, rates, quality and the latest hours of a pin, a pinner or a domain.

    A domain is given by name, such as example.com. Needs a running worker.
    """
    body = ask("stats", f"{kind}s", identity, query={"hours": hours})
    if as_json:
        click.echo(json.dumps(body))
        return
    quality = "  ".join(f"{name} {value:.4f}" for name, value in body["quality"].items())
    click.echo(f"{kind} {body[kind]}\nquality: {quality}")
    if kind == "pin":
        click.echo("unsafe: " + ("unknown" if body["unsafe"] is None else f"{body['unsafe']:.4f}"))
    click.echo()
    if kind == "pinner":
        click.echo("What the pinner did:\n" + _history(body["given"]))
        click.echo("\nWhat was done with the pinner's pins:\n" + _history(body["received"]))
    else:
        click.echo(_history(body))


def _history(history: dict[str, Any]) -> str:
    """Totals and rates, then hour by hour (UTC)."""
    totals = ("all time", *(history["totals"][name] for name in COUNTS))
    rates = ("per impression", None, *(history["rates"][name] for name in COUNTS[1:]))
    hours = [(moment(hour["time"])[:13] + "h", *(hour[name] for name in COUNTS)) for hour in history["hours"]]
    return table(("", *COUNTS), [totals, rates, *hours])
