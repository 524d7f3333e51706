"""``pinstream index``: a folder of pictures, or a file of pins, becomes pins of the running engine."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from streams.cli.ask import ask
from streams.cli.interrupt import stop_on_interrupt
from streams.cli.tables import table
from streams.settings import Settings
from streams.stores.clickhouse import ClickHouseError, open_event_store
from streams.stores.protocols import StoreUnavailable
from streams.traffic.folder import Found, Unread, lines, pictures
from streams.traffic.indexing import Indexing, Outcome, Progress

#: Failures that are told one by one; ``--json`` has all.
SHOWN = 20


@click.command("index")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--board", default="", help="The board of all of these pins.")
@click.option("--pinner", default="", help="Whose pins they are.")
@click.option(
    "--inline", "as_inline", is_flag=True, help="Send the pictures themselves; the engine does not keep them."
)
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object; progress goes to stderr.")
def command(source: Path, board: str, pinner: str, as_inline: bool, as_json: bool) -> None:
    """Make a pin of every picture below the folder SOURCE, or of every line of the file SOURCE, and wait for them.

    A picture's pin is named by its bytes and titled by its file's name. What the engine has looked at already is
    not sent again, so the command may be repeated, and goes on where it was stopped. A line is a pin event, such as
    {"pin": 17, "title": "…", "image": "photo.jpg"}.

    The worker reads pictures below the folders of PINSTREAM_IMAGE_FOLDERS only. Ends with status 1 when something
    could not be read; what it was, and why, is told and is among the dead letters.
    """
    settings = Settings.load()
    source = source.resolve()
    fields = {name: value for name, value in (("board", board), ("pinner", pinner)) if value}
    if not as_inline and source.is_dir():
        _require_readable(settings, source)
    found = pictures(source, **fields) if source.is_dir() else lines(source, **fields)
    with stop_on_interrupt() as stop, _bar() as progress:
        try:
            outcome = asyncio.run(_index(settings, found, as_inline, progress, stop))
        except (StoreUnavailable, ClickHouseError) as gone:
            raise click.ClickException(f"{gone}. `pinstream doctor` says what is wrong.") from None
        except OSError as error:
            raise click.ClickException(f"{error.filename or source}: {error.strerror or error}") from None
    click.echo(json.dumps(outcome.summary()) if as_json else _told(outcome))
    if not outcome.complete:
        sys.exit(130 if outcome.interrupted else 1)


async def _index(
    settings: Settings, found: Iterator[Found | Unread], as_inline: bool, progress: Progress, stop: threading.Event
) -> Outcome:
    def post(body: bytes) -> None:
        ask("events", "pins", body=body, content_type="application/x-ndjson")

    events = open_event_store(settings)
    try:
        return await Indexing(settings, events, post, inline=as_inline).run(found, progress, stop)
    finally:
        await events.close()


def _require_readable(settings: Settings, folder: Path) -> None:
    if not any(folder.is_relative_to(allowed) for allowed in settings.readable_folders):
        raise click.ClickException(
            f"The engine may not read {folder}. Start the worker with PINSTREAM_IMAGE_FOLDERS="
            f"{settings.image_folders}:{folder} and set it here, too; or send the pictures themselves with --inline."
        )


@contextmanager
def _bar() -> Generator[Progress]:
    """How many pins are done, on a terminal; silent elsewhere."""
    with click.progressbar(
        length=1, label="pins", file=sys.stderr, show_pos=True, hidden=not sys.stderr.isatty()
    ) as bar:

        def show(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield show


def _told(outcome: Outcome) -> str:
    told = [
        f"{outcome.understood:,} pins understood and {outcome.already:,} known already, of {outcome.found:,}"
        f" ({outcome.twice:,} pictures twice), in {outcome.seconds:.1f} s"
    ]
    if outcome.failures:
        rows = [(one.reason, one.source, one.detail) for one in outcome.failures[:SHOWN]]
        told += ["", f"{len(outcome.failures):,} could not be read:", table(("reason", "what", "why"), rows)]
    if outcome.waiting:
        told.append(f"{outcome.waiting:,} are still waiting: they are sent, and run again to see what became of them")
    return "\n".join(told)
