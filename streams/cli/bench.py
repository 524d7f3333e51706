"""``pinstream bench``: measure this machine's engine."""

from __future__ import annotations

import subprocess
import sys

import click

from streams.settings import PROJECT


@click.command("bench", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Measure events/s, pins understood/s, feeds/s, freshness and memory on this machine.

    The same as ``python -m bench engine``; needs a checkout, of which ``bench/`` is a part.
    """
    if not (PROJECT / "bench").is_dir():
        raise click.ClickException(f"no bench/ in {PROJECT}: benchmarks run from a checkout of the project")
    sys.exit(subprocess.call([sys.executable, "-m", "bench", "engine", *arguments], cwd=PROJECT))  # noqa: S603
