"""``pinstream search``: pins by words."""

from __future__ import annotations

import json

import click

from streams.cli.ask import ask
from streams.cli.tables import table


@click.command(name="search")
@click.argument("words", nargs=-1, required=True)
@click.option("-n", default=25, show_default=True, type=click.IntRange(1, 200), help="Pins.")
@click.option("--pinner", help="In the order of this pinner's taste.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
def command(words: tuple[str, ...], n: int, pinner: str | None, as_json: bool) -> None:
    """Print pins that match WORDS.

    Needs a running worker.
    """
    body = ask("search", query={"q": " ".join(words), "n": n, "pinner": pinner})
    if as_json:
        click.echo(json.dumps(body))
        return
    rows = [(place, item["pin"], item["score"]) for place, item in enumerate(body["items"], 1)]
    click.echo(table(("place", "pin", "score"), rows))
    if pinner and not body["personal"]:
        click.echo(f"\nThe taste of {pinner} is not known.")
