"""``pinstream train-ranker``: a new version of the ranker from what this engine has logged."""

from __future__ import annotations

import click

from streams.cli import checkout


@click.command("train-ranker", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Learn a new version of the ranker from logged slates and events, for `pinstream models deploy`.

    The same as ``python -m training.ranker_from_engine``; needs a checkout, of which ``training/`` is a part.
    """
    checkout.run("training.ranker_from_engine", arguments, "the ranker is trained")
