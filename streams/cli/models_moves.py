"""``pinstream models migrate``, ``cut-over``, ``rollback`` and ``drop``: from one encoder to another."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import click

from streams.cli.models_asking import as_json_option, asked, fullness
from streams.cli.tables import table
from streams.encoders import moves
from streams.encoders.deploying import take_away, was_deployed
from streams.encoders.filling import Fill, fills, parity_of
from streams.encoders.parity import Parity
from streams.encoders.states import Standing, State, standings
from streams.settings import Settings
from streams.stores.protocols import EventStore
from streams.stores.triton_repository import Repository

#: Seconds between looks at how far the workers are, and without any progress until it is said that none works.
LOOK, STILL = 1.0, 30.0
RANKER = (
    "The ranker's features are cosines of the encoder it was trained with: until it is trained anew "
    "(docs/models.md), watch the panel `Expected and real saves`."
)
wait_option = click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is done.")


@click.command("migrate")
@click.argument("model")
@wait_option
@as_json_option
def migrate(model: str, wait: bool, as_json: bool) -> None:
    """Have the workers fill an index by MODEL, while every answer is of the one that serves.

    New pins go to both; those that are stored are looked at again. The work is the workers': ended, this command may
    be run again to watch it. At the end both indexes are compared.
    """

    async def begin(_: Settings, events: EventStore, repository: Repository) -> tuple[Standing, Fill | None]:
        one = await moves.begin(events, model, await repository.ready())
        while wait and one.state is State.FILLING:
            await asyncio.sleep(LOOK)
            one = (await standings(events))[model]
            _show(one, (await fills(events)).get(model))
        return one, (await fills(events)).get(model)

    one, fill = asked(begin)
    parity = parity_of(fill) if fill and one.state is not State.FILLING else None
    if as_json:
        told = {"model": model, "state": one.state, "full": fullness(one, fill)}
        if fill:
            told |= {"filled": fill.filled, "gone": fill.gone, "parity": json.loads(fill.parity or "null")}
        click.echo(json.dumps(told))
        return
    click.echo(f"{model} is {one.state}")
    if parity:
        _compared(parity)
    if one.state is State.READY:
        click.echo(f"`pinstream models cut-over {model}` has it serve.")


@click.command("cut-over")
@click.argument("model")
@click.option("--anyway", is_flag=True, help="Even if the indexes differ by more than they should.")
@as_json_option
def cut_over(model: str, anyway: bool, as_json: bool) -> None:
    """Have MODEL's index serve. Each worker follows within a second; each answer is wholly of one encoder."""

    async def go(_: Settings, events: EventStore, repository: Repository) -> tuple[Standing, Fill | None]:
        one = await moves.cut_over(events, model, await repository.ready(), anyway=anyway)
        return one, (await fills(events)).get(model)

    one, fill = asked(go)
    if as_json:
        parity = json.loads(fill.parity or "null") if fill else None
        click.echo(json.dumps({"model": one.model, "state": one.state, "parity": parity, "note": RANKER}))
        return
    if parity := parity_of(fill):
        _compared(parity)
    click.echo(f"{model} serves; workers follow within a second. `pinstream models rollback` goes back.")
    click.echo(RANKER)


@click.command("rollback")
@as_json_option
def rollback(as_json: bool) -> None:
    """Have the encoder serve that did before the last cut-over. Without one, nothing changes."""

    async def go(_: Settings, events: EventStore, __: Repository) -> Standing | None:
        return await moves.roll_back(events)

    one = asked(go)
    if as_json:
        click.echo(json.dumps({"model": one.model if one else None, "changed": one is not None}))
    elif one:
        click.echo(f"{one.model} serves again; workers follow within a second.")
    else:
        click.echo("There is nothing to go back to: no encoder has been cut over from, or it was dropped.")


@click.command("drop")
@click.argument("model")
@wait_option
@as_json_option
def drop(model: str, wait: bool, as_json: bool) -> None:
    """Drop MODEL's index, and unload it where `deploy` had put it into the repository. Not the one that serves."""

    async def go(settings: Settings, events: EventStore, repository: Repository) -> tuple[Standing, bool]:
        one, began = await moves.drop(events, model), time.monotonic()
        while wait and one.state is State.DROPPING:
            if time.monotonic() - began > 2 * STILL:
                raise moves.MoveRefused(f"{model} is not dropped yet: is a worker running? It is dropped by the next")
            await asyncio.sleep(LOOK)
            one = (await standings(events))[model]
        if one.state is not State.DROPPED or not was_deployed(settings, model):
            return one, False
        await repository.unload(model)
        take_away(settings, model)
        return one, True

    one, unloaded = asked(go)
    if as_json:
        click.echo(json.dumps({"model": one.model, "state": one.state, "unloaded": unloaded}))
        return
    click.echo(f"{model} is {one.state}")
    if one.state is State.DROPPED and not unloaded:
        click.echo(
            "Triton still has it, as its folder was not put there by `deploy`: take the folder away, restart Triton."
        )


def _show(one: Standing, fill: Fill | None) -> None:
    """Progress, on one line of a terminal or as lines elsewhere."""
    if fill is None or fill.began != one.changed:
        text = "no worker has begun yet; is one running?" if one.state is State.FILLING else str(one.state)
    else:
        looked = fill.filled + fill.gone
        text = f"{looked:,} of {max(fill.total, looked):,} pins, the picture of {fill.gone:,} is gone"
        if time.time() - fill.changed / 1000 > STILL:
            text += "; nothing moves: is a worker running?"
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{one.model}: {text}", err=True, nl=one.state is not State.FILLING)
    else:
        click.echo(f"{one.model}: {text}", err=True)


def _compared(parity: Parity) -> None:
    rows = [
        (name, share.old, share.new, f"{share.parity:.2%}", f"{share.recall:.2%}", f"{share.agreement:.2%}")
        for name, share in (("pins", parity.pins), ("objects", parity.objects))
    ]
    click.echo(table(("", "old index", "new index", "in both", "recall@10", "same 10 as old"), rows))
    if parity.gone:
        click.echo(f"{parity.gone:,} pins have no picture any more that could be looked at again.")
