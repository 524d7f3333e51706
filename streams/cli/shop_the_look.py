"""``pinstream shop-the-look``: products for what is in a pin."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streams.cli.ask import ask
from streams.cli.sheet import Mark, write_sheet
from streams.cli.tables import table


@click.command(name="shop-the-look")
@click.argument("pin")
@click.option("-n", default=6, show_default=True, type=click.IntRange(1, 24), help="Pins for each category.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="Draw the result into this picture.")
def command(pin: str, n: int, as_json: bool, sheet: Path | None) -> None:
    """Print products for the scene PIN, category by category: exact ones first, then what fits in style and colour.

    Needs a running worker.
    """
    body = ask("pins", pin, "shop-the-look", query={"n": n})
    found = [(each["label"], one) for each in body["categories"] for one in each["products"]]
    if sheet is not None:
        marks = [Mark(one["box"], each["label"]) for each in body["categories"] for one in each["objects"]]
        hits = [
            (one["found"]["pin"], one["found"]["box"], f"{label} {one['found']['similarity']:.2f}")
            for label, one in found
        ]
        write_sheet(sheet, str(ask("pins", pin)["image"]), marks, [], hits)
    if as_json:
        click.echo(json.dumps(body))
        return
    rows = [
        (label, one["found"]["pin"], one["found"]["similarity"], "exact" if one["exact"] else "alike", one["colours"])
        for label, one in found
    ]
    click.echo(table(("category", "pin", "similarity", "match", "colours apart"), rows))
    if body["degraded"]:
        click.echo(f"\nMade without: {', '.join(body['degraded'])}.")
