"""How far a replay is, on one line of a terminal; silent elsewhere."""

from __future__ import annotations

import sys
import time

import click

from streams.traffic.replay import Account, Progress


def progress_line(total: int = 0) -> Progress | None:
    """A callback that redraws events, events/s and, with a ``total``, the time left; None without a terminal."""
    if not sys.stderr.isatty():
        return None
    started = time.monotonic()

    def show(account: Account) -> None:
        seconds = max(time.monotonic() - started, 1e-6)
        rate = account.delivered / seconds
        text = f"{account.delivered:,} events, {rate:,.0f}/s"
        done = account.delivered + account.failed + account.bad
        if total and rate and done < total:
            text += f", {(total - done) / rate:,.0f} s left"
        click.echo(f"\r\x1b[K{text}", err=True, nl=account.ended)

    return show
