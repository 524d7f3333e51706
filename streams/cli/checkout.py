"""Commands that are modules of a checkout: ``bench/`` and ``training/`` are no part of an installed PinStream."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from streams.settings import PROJECT


def run(module: str, arguments: Sequence[str], what: str) -> NoReturn:
    """Run ``python -m module`` with these arguments and exit with its status.

    Raises:
        click.ClickException: the project has no such folder; the message says that ``what`` needs one.
    """
    folder = module.partition(".")[0]
    if not (PROJECT / folder).is_dir():
        raise click.ClickException(f"no {folder}/ in {PROJECT}: {what} from a checkout of the project")
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    # From where the user is, as paths are given from there; -P keeps a stranger's folder of that name there out.
    child = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-P", "-m", module, *arguments], env=os.environ | {"PYTHONPATH": path}
    )
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:  # it has heard it, too, and stops, with what it started
            continue
