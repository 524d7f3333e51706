"""``pinstream evaluate``: how good the answers are on real data."""

from __future__ import annotations

import click

from streams.cli import checkout


@click.command("evaluate", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Measure quality on real data, beside what is wanted: `pinstream evaluate vision`.

    The same as ``python -m bench.quality``; needs a checkout, of which ``bench/`` is a part.
    """
    checkout.run("bench.quality", arguments, "quality is measured")
