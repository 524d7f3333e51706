"""``pinstream related``: pins like one pin."""

from __future__ import annotations

import json

import click

from streams.cli.ask import ask
from streams.cli.tables import table


@click.command(name="related")
@click.argument("pin")
@click.option("-n", default=25, show_default=True, type=click.IntRange(1, 200), help="Related pins.")
@click.option(
    "--sources",
    help="Comma-separated: boards (co-occurrence), walks (Pixie), pin2vec (sessions), visual (Milvus), words.  "
    "[default: all]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
def command(pin: str, n: int, sources: str | None, as_json: bool) -> None:
    """Print pins that people put beside PIN or act on with it, and pins that look or read like it.

    Needs a running worker.
    """
    body = ask("pins", pin, "related", query={"n": n, "sources": sources})
    if as_json:
        click.echo(json.dumps(body))
        return
    names = sorted({name for item in body["items"] for name in item["sources"]})
    rows = [
        (place, item["pin"], item["score"], item["boost"], *(item["sources"].get(name) for name in names))
        for place, item in enumerate(body["items"], 1)
    ]
    click.echo(table(("place", "pin", "score", "boost", *names), rows))
    if body["degraded"]:
        click.echo(f"\nMade without: {', '.join(body['degraded'])}.")
