"""``pinstream dead-letters``: look at what was set aside, and send it back when its cause is mended."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import click
import msgspec

from operators.rejection import SENTENCES, Reason
from streams.cli.tables import moment, table
from streams.cli.times import milliseconds
from streams.dead_letter_log import Entry, Wanted, letter_id, read_letters
from streams.dead_letters import DeadLetter
from streams.settings import Settings
from streams.stores.protocols import StoreUnavailable

#: Characters of a record that a line of the list shows.
SHOWN = 60


class _Time(click.ParamType):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return milliseconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def filters(function: Callable[..., None]) -> Callable[..., None]:
    """The options that choose letters; the command gets them as one ``wanted``."""

    def with_wanted(
        topics: tuple[str, ...],
        reasons: tuple[str, ...],
        partition: int | None,
        offsets: str | None,
        since: int | None,
        before: int | None,
        text: str,
        **others: Any,
    ) -> None:
        first, last = _range(offsets)
        wanted = Wanted(
            topics=frozenset(topics), reasons=frozenset(reasons), partition=partition, first=first, last=last,
            since=since or 0, before=before, text=text, redriven=others.pop("redriven", False),
        )  # fmt: skip
        function(wanted, **others)

    with_wanted.__name__, with_wanted.__doc__ = function.__name__, function.__doc__
    with_wanted.__click_params__ = list(getattr(function, "__click_params__", []))  # type: ignore[attr-defined]
    for option in (
        click.option("--text", default="", help="Only records that hold this text."),
        click.option("--until", "before", type=_Time(), help="Only letters written before."),
        click.option("--since", type=_Time(), help="Only letters written since: 2026-05-01T12:00 (UTC), or 2h ago."),
        click.option(
            "--offsets", metavar="FIRST-LAST", help="Only these offsets, both included; either may be left out."
        ),
        click.option("--partition", type=click.IntRange(0), help="Only records of this partition."),
        click.option(
            "--reason",
            "reasons",
            multiple=True,
            type=click.Choice([reason.value for reason in Reason]),
            help="Only this reason; repeat for more.",
        ),
        click.option("--topic", "topics", multiple=True, help="Only records of this topic; repeat for more."),
    ):
        option(with_wanted)
    return with_wanted


@contextmanager
def explained() -> Generator[None]:
    """Kafka gone is an error that names the fix."""
    try:
        yield
    except StoreUnavailable as gone:
        raise click.ClickException(
            f"{gone}. Is Kafka running? `pinstream up` starts it; `pinstream doctor` says more."
        ) from None


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
with_redriven = click.option("--redriven", is_flag=True, help="Also letters that were sent back already.")


class _Commands(click.Group):
    """Redriving needs a producer: imported only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["list", "show", "stats", "redrive"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "redrive":
            from streams.cli.dead_letters_redrive import redrive

            return redrive
        return super().get_command(ctx, cmd_name)


@click.group("dead-letters", cls=_Commands)
def command() -> None:
    """Records that could not be used: list them, look at one, count them, send them back.

    Only Kafka is needed; the worker and every other part may be down. Each takes --json.
    """


@command.command("list")
@filters
@with_redriven
@click.option("--limit", default=50, show_default=True, type=click.IntRange(0), help="At most so many; 0 for all.")
@as_json
def list_(wanted: Wanted, limit: int, as_json: bool) -> None:
    """List dead letters, oldest first. With --json one object a line, `value` in base64 as on the topic."""
    with explained():
        entries = islice(read_letters(Settings.load(), wanted), limit or None)
        if as_json:
            for entry in entries:
                click.echo(msgspec.json.encode(described(entry)))
            return
        rows = [_row(entry) for entry in entries]
    if not rows:
        click.echo("no dead letters")
        return
    click.echo(table(("written", "position", "reason", "bytes", "came back", "record"), rows))
    if len(rows) == limit:
        click.echo(f"the first {limit}; --limit shows more", err=True)


@command.command("show")
@click.argument("position", metavar="TOPIC:PARTITION:OFFSET")
@as_json
def show(position: str, as_json: bool) -> None:
    """Print one letter: the reason, the record's bytes (text, or hex where they are not UTF-8), position and times."""
    try:
        topic, partition, offset = position.rsplit(":", 2)
        id_ = letter_id(topic, int(partition), int(offset))
    except ValueError:
        raise click.BadParameter(
            f"{position!r} is no position, such as saves:2:1041", param_hint="TOPIC:PARTITION:OFFSET"
        ) from None
    wanted = Wanted(
        topics=frozenset([topic]), partition=int(partition), first=int(offset), last=int(offset), redriven=True
    )
    with explained():
        found = next((entry for entry in read_letters(Settings.load(), wanted) if entry.letter.id == id_), None)
    if found is None:
        raise click.ClickException(
            f"There is no dead letter about {position}; `pinstream dead-letters list` shows what there is."
        )
    if as_json:
        click.echo(msgspec.json.encode(described(found)))
        return
    letter = found.letter
    lines = {
        "position": position,
        "reason": f"{letter.reason}: {SENTENCES.get(letter.reason, '')}",  # type: ignore[call-overload]
        "detail": letter.detail or "-",
        "logged": moment(letter.logged) if letter.logged else "unknown",
        "written": moment(found.written),
        "redriven": ("sent back" if found.redriven else "no")
        + (f"; came back {found.attempt} times" if found.attempt else ""),
        "bytes": f"{letter.size:,}"
        + (f", of which {len(letter.value):,} are kept" if letter.value and len(letter.value) < letter.size else ""),
    }
    for name, value in lines.items():
        click.echo(f"{name:10}{value}")
    click.echo(f"\n{readable(letter)}")


@command.command("stats")
@filters
@with_redriven
@as_json
def stats(wanted: Wanted, as_json: bool) -> None:
    """Count dead letters by topic and reason, and by the day (UTC) on which they were written."""
    by_reason: Counter[tuple[str, str]] = Counter()
    by_day: Counter[str] = Counter()
    with explained():
        for entry in read_letters(Settings.load(), wanted):
            by_reason[entry.letter.topic, entry.letter.reason] += 1
            by_day[moment(entry.written)[:10]] += 1
    reasons = sorted(by_reason.items(), key=lambda each: (-each[1], each[0]))
    if as_json:
        rows = [{"topic": topic, "reason": reason, "letters": count} for (topic, reason), count in reasons]
        body = {"letters": by_reason.total(), "by_reason": rows, "by_day": dict(sorted(by_day.items()))}
        click.echo(msgspec.json.encode(body))
        return
    if not reasons:
        click.echo("no dead letters")
        return
    click.echo(table(("topic", "reason", "letters"), [(*name, count) for name, count in reasons]))
    click.echo("\n" + table(("day", "letters"), sorted(by_day.items())))
    click.echo(f"\n{by_reason.total():,} in all")


def described(entry: Entry) -> dict[str, Any]:
    """A letter as JSON: what the topic has, and what is known besides."""
    return {
        **msgspec.structs.asdict(entry.letter),
        "written": entry.written,
        "attempt": entry.attempt,
        "redriven": entry.redriven,
    }


def readable(letter: DeadLetter) -> str:
    """The record for people: its text, or hex where it is not UTF-8."""
    if letter.value is None:
        return "(nothing is kept of this record)"
    try:
        # A record that was cut may end inside a character.
        text = getincrementaldecoder("utf-8")().decode(letter.value, final=len(letter.value) == letter.size)
    except UnicodeDecodeError:
        return letter.value.hex(" ")
    # What would steer a terminal is shown, not done.
    return "".join(each if each.isprintable() or each == "\n" else f"\\u{ord(each):04x}" for each in text)


def _row(entry: Entry) -> tuple[object, ...]:
    letter = entry.letter
    text = readable(letter).replace("\n", " ")
    position = f"{letter.topic}:{letter.partition}:{letter.offset}"
    return moment(entry.written), position, letter.reason, letter.size, entry.attempt, text[:SHOWN]


def _range(offsets: str | None) -> tuple[int, int | None]:
    if offsets is None:
        return 0, None
    first, dash, last = offsets.partition("-")
    try:
        return int(first or 0), (int(last) if last else None) if dash else int(first)
    except ValueError:
        raise click.BadParameter(
            f"{offsets!r} is no range of offsets, such as 1000-1999", param_hint="--offsets"
        ) from None
