"""``pinstream replay``: event files to Kafka."""

from __future__ import annotations

import sys
import time

import click
import orjson

from streams.cli.interrupt import stop_on_interrupt
from streams.cli.progress import progress_line
from streams.settings import Settings
from streams.traffic.lines import STANDARD, open_to_read
from streams.traffic.replay import Account, latest_time, read_lines, replay, shifted


@click.command("replay")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--rate", default="", metavar="N/s", help="Events per second; as fast as it goes when left out.")
@click.option("--now", is_flag=True, help="Move all times so that the last event of the files happens now.")
@click.option("--topic", default="", help="Topic of bare events, i.e. of lines without topic and event.")
@click.option("--json", "as_json", is_flag=True, help="Print the account as one JSON object.")
def command(files: tuple[str, ...], rate: str, now: bool, topic: str, as_json: bool) -> None:
    """Send event lines to Kafka and wait until the broker holds every one of them.

    A FILE holds one {"topic": …, "key": …, "event": {…}} a line, plain, .gz or .zst; "-" is standard input.
    Ends with status 1 when a line could not be read or an event was not delivered.
    """
    if now and STANDARD in files:
        raise click.UsageError("--now reads the files twice, which standard input cannot be")
    account = Account()
    try:
        lines = read_lines(files, account, topic)
        if now:
            lines = shifted(lines, int(time.time() * 1000) - latest_time(files))
        total = count_lines(files) if sys.stderr.isatty() else 0
        with stop_on_interrupt() as stop:
            replay(
                lines,
                Settings.load(),
                account,
                rate=events_per_second(rate),
                progress=progress_line(total),
                stop=stop,
            )
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'the file'}: {error.strerror or error}") from None
    if as_json:
        click.echo(orjson.dumps(account.summary()))
    else:
        click.echo(
            f"{account.delivered:,} of {account.read:,} events delivered in {account.seconds:.1f} s"
            f" ({account.failed:,} failed, {account.bad:,} lines could not be read)"
        )
    for error in account.errors:
        click.echo(error, err=True)
    if not account.complete:
        sys.exit(130 if account.interrupted else 1)


def events_per_second(text: str) -> float:
    """``300``, ``300/s`` or nothing (0, no limit). Raises click.BadParameter."""
    try:
        rate = float(text.removesuffix("/s") or 0)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise click.BadParameter(f"{text!r} is not a number of events per second, such as 300/s", param_hint="--rate")
    return rate


def count_lines(files: tuple[str, ...]) -> int:
    """How many lines there are to go; 0 when one of the files cannot be read twice."""
    if STANDARD in files:
        return 0
    total = 0
    for path in files:
        with open_to_read(path) as file:
            total += sum(1 for _ in file)
    return total
