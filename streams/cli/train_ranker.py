"""``pinstream train-ranker``: a new version of the ranker from what this engine has logged."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from streams.settings import PROJECT


@click.command("train-ranker", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Learn a new version of the ranker from logged slates and events, for `pinstream models deploy`.

    The same as ``python -m training.ranker_from_engine``; needs a checkout, of which ``training/`` is a part.
    """
    if not (PROJECT / "training").is_dir():
        raise click.ClickException(f"no training/ in {PROJECT}: the ranker is trained from a checkout of the project")
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    # From where the user is, as paths are given from there; -P keeps a stranger's training/ there out.
    child = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-P", "-m", "training.ranker_from_engine", *arguments], env=os.environ | {"PYTHONPATH": path}
    )
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:  # it has heard it, too, and stops
            continue
