"""``pinstream evaluate``: how good the answers are on real data."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from streams.settings import PROJECT


@click.command("evaluate", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Measure quality on real data, beside what is wanted: `pinstream evaluate vision`.

    The same as ``python -m bench.quality``; needs a checkout, of which ``bench/`` is a part.
    """
    if not (PROJECT / "bench").is_dir():
        raise click.ClickException(f"no bench/ in {PROJECT}: quality is measured from a checkout of the project")
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    # From where the user is, as paths are given from there; -P keeps a stranger's bench/ there out.
    child = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-P", "-m", "bench.quality", *arguments], env=os.environ | {"PYTHONPATH": path}
    )
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:  # it has heard it, too, and stops what it started
            continue
