"""``pinstream convert``: public data sets to event files."""

from __future__ import annotations

import sys

import click
import orjson

from streams.traffic.convert import CONVERTERS, Report, convert
from streams.traffic.lines import STANDARD, open_to_read, open_to_write


@click.command("convert")
@click.argument("kind", type=click.Choice(sorted(CONVERTERS)))
@click.argument("file")
@click.option(
    "-o", "--out", default=STANDARD, help="Where to write; .gz and .zst are packed. Standard output if left out."
)
@click.option("--json", "as_json", is_flag=True, help="Say what became of the rows as one JSON object.")
def command(kind: str, file: str, out: str, as_json: bool) -> None:
    """Turn FILE into event lines for `pinstream replay`.

    saves: "user item item …" lists (LightGCN), each item a save. movielens: .inter, .dat or .csv ratings, 4 and
    more a save, fewer a closeup. behavior: "user,item,category,kind,seconds" logs. FILE may be packed, or "-".
    See docs/data.md for the exact mapping. Ends with status 1 when no row could be used.
    """
    report = Report()
    try:
        with open_to_read(file) as rows, open_to_write(out) as target:
            for line in convert(kind, rows, report):
                target.write(line.encode())
    except OSError as error:
        raise click.ClickException(f"{error.filename or file}: {error.strerror or error}") from None
    # Where the events take standard output, the account goes to standard error.
    aside = out == STANDARD
    if as_json:
        click.echo(orjson.dumps(report), err=aside)
    else:
        click.echo(
            f"{report.events:,} events from {report.rows:,} rows, {report.bad:,} rows could not be used", err=aside
        )
        for example in report.examples:
            click.echo(f"  {example}", err=True)
    if report.early:
        click.echo(f"{report.early:,} events are older than 2005: replay them with --now", err=True)
    if report.rows and not report.events:
        sys.exit(1)
