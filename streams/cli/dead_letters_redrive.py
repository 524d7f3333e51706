"""``pinstream dead-letters redrive``: records back to their topics."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from streams.cli.dead_letters import explained, filters
from streams.cli.interrupt import stop_on_interrupt
from streams.dead_letter_log import LETTERS, REDRIVEN, Wanted, has_topic
from streams.redrive import Account, edit_fields
from streams.redrive import redrive as send_back
from streams.redrive_sender import RedriveFailed
from streams.settings import Settings


@click.command("redrive")
@filters
@click.option(
    "--set",
    "fields",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Mend JSON objects: set a field (VALUE as JSON, else as text).",
)
@click.option("--again", is_flag=True, help="Also those that came back from a redrive before.")
@click.option("--limit", default=0, type=click.IntRange(0), help="Send at most so many.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the account as one JSON object; needs --yes or --dry-run.")
def redrive(
    wanted: Wanted, fields: tuple[str, ...], again: bool, limit: int, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Send records back to the topic and partition that they came from, with headers that say so.

    A letter is sent back once, however often this is run and wherever it is killed. A record that is rejected again is
    a letter again, which is left out of later redrives unless --again is given. Status 1 when it had to stop early.
    """
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json does not ask: add --yes or --dry-run")
    settings = Settings.load()
    edit = edit_fields(_assignments(fields)) if fields else None
    with explained():
        if not has_topic(settings, REDRIVEN):
            raise click.ClickException(f"Kafka has no topic {REDRIVEN}. `pinstream up` makes it.")
        plan = None
        if dry_run or not yes:
            plan = send_back(settings, wanted, again=again, edit=edit, limit=limit, dry_run=True)
            if dry_run or not plan.sent:
                _report(plan, "would be sent" if dry_run else "to send", as_json)
                return
            _report(plan, "to send", as_json)
            click.confirm("Send them?", abort=True, err=True)
        ends = plan.ends if plan else None
        with stop_on_interrupt() as stop:
            try:
                account = send_back(
                    settings, wanted, again=again, edit=edit, limit=limit, ends=ends,
                    progress=_progress(plan), stop=stop,
                )  # fmt: skip
            except RedriveFailed as error:
                raise click.ClickException(f"{error}. Run it again to go on.") from None
    _report(account, "sent", as_json)
    if stop.is_set():
        click.echo("stopped; run it again to go on", err=True)
        sys.exit(1)


def _assignments(texts: tuple[str, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(
                f"{text!r} is not FIELD=VALUE, such as board=7 or surface=home", param_hint="--set"
            )
        try:
            fields[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            fields[name] = value
    return fields


def _progress(plan: Account | None) -> Any:
    if not sys.stderr.isatty():
        return None
    of = f" of {plan.sent:,}" if plan else ""

    def show(account: Account) -> None:
        click.echo(f"\r\x1b[K{account.sent:,}{of} sent", err=True, nl=False)

    return show


def _report(account: Account, verb: str, as_json: bool) -> None:
    if as_json:
        body = {
            "wanted": account.wanted, "sent": account.sent,
            "by_topic": account.by_topic, "left_out": account.left_out,
        }  # fmt: skip
        click.echo(msgspec.json.encode(body))
        return
    topics = ", ".join(f"{count:,} to {topic}" for topic, count in sorted(account.by_topic.items()))
    click.echo(f"{account.sent:,} of {account.wanted:,} letters {verb}" + (f": {topics}" if topics else ""))
    for why, count in sorted(account.left_out.items()):
        click.echo(f"  {count:,} left out: {why}")
    if not account.wanted:
        click.echo(f"  nothing on {LETTERS} matches, or all of it was sent back before")
