"""``pinstream feed``: a pinner's feed, as it is this moment."""

from __future__ import annotations

import json

import click
import msgspec

from operators.slate.explain import explain as reason
from operators.slate.slate import Slate
from streams.cli.ask import ask
from streams.cli.tables import moment, table


@click.command(name="feed")
@click.argument("pinner")
@click.option("-n", default=25, show_default=True, type=click.IntRange(1, 100), help="Pins in the feed.")
@click.option("--explain", is_flag=True, help="Say why each pin is there, and what every stage did.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
def command(pinner: str, n: int, explain: bool, as_json: bool) -> None:
    """Build a feed for PINNER now, and print it.

    Needs a running worker.
    """
    body = ask("feed", pinner, query={"n": n})
    if as_json:
        click.echo(json.dumps(body))
        return
    slate = msgspec.convert(body, Slate)
    rows = [
        (place, item.pin, item.score, *_chances(item.probabilities), ", ".join(item.sources) or "popular")
        for place, item in enumerate(slate.items, 1)
    ]
    click.echo(table(("place", "pin", "score", "save", "closeup", "click", "hide", "sources"), rows))
    click.echo(_footer(slate, body["trigger_age_ms"]))
    if explain:
        click.echo("\n" + "\n".join(f"{item.pin}: {reason(slate, item.pin)}" for item in slate.items))
        stages = [(stage.name, stage.came_in, stage.went_out, stage.milliseconds) for stage in slate.stages]
        click.echo("\n" + table(("stage", "in", "out", "ms"), stages))
        if slate.dropped:
            click.echo("\n" + table(("filter", "dropped"), list(slate.dropped.items())))


def _chances(expected: object) -> tuple[float | None, ...]:
    names = ("save", "closeup", "outbound_click", "hide")
    return tuple(getattr(expected, name, None) for name in names)


def _footer(slate: Slate, age: int | None) -> str:
    """What was known, what scored and what was missing, in one line each."""
    models = ", ".join(f"{name} {version}" for name, version in slate.models.items()) or "no model"
    active = "never active" if age is None else f"last active {age / 1000:.1f} s before"
    lines = [f"\n{len(slate.items)} pins as of {moment(slate.now)} UTC ({active}), scored by {models}."]
    if slate.degraded:
        lines.append(f"Made without: {', '.join(slate.degraded)}.")
    if slate.fallback:
        lines.append(f"Filled up with: {', '.join(slate.fallback)}.")
    return "\n".join(lines)
