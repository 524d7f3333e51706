"""``pinstream similar``: pins with what is in a pin."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streams.cli.ask import ask
from streams.cli.sheet import Mark, write_sheet
from streams.cli.tables import table


@click.command(name="similar")
@click.argument("pin")
@click.option(
    "--object", "number", type=click.IntRange(0), help="One of its objects; `pinstream objects` numbers them."
)
@click.option("--box", metavar="L,T,R,B", help="What is in this box: fractions of width and height.")
@click.option("-n", default=25, show_default=True, type=click.IntRange(1, 100), help="Pins.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="Draw the result into this picture.")
def command(pin: str, number: int | None, box: str | None, n: int, as_json: bool, sheet: Path | None) -> None:
    """Print pins that have what is in PIN: all of its objects, one of them, or what is in a box.

    Needs a running worker.
    """
    body = ask("pins", pin, "similar", query={"n": n, "object": number, "box": box})
    if sheet is not None:
        marks = [Mark(one["box"], one["label"]) for one in body["objects"]]
        hits = [
            (one["pin"], one["best"]["box"], f"{one['score']:.3f} {one['best']['label']}") for one in body["scenes"]
        ]
        write_sheet(sheet, str(ask("pins", pin)["image"]), marks, [], hits)
    if as_json:
        click.echo(json.dumps(body))
        return
    rows = [
        (place, one["pin"], one["score"], one["best"]["label"], one["best"]["similarity"], *one["best"]["box"])
        for place, one in enumerate(body["scenes"], 1)
    ]
    click.echo(table(("place", "pin", "score", "label", "similarity", "left", "top", "right", "bottom"), rows))
