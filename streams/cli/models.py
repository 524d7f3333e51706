"""``pinstream models``: what Triton serves, and changing the encoder without stopping."""

from __future__ import annotations

import json

import click

from streams.cli.models_asking import as_json_option, asked, fullness
from streams.cli.models_moves import cut_over, drop, migrate, rollback
from streams.cli.tables import table
from streams.encoders.deploying import Deployed
from streams.encoders.deploying import deploy as put_to_work
from streams.encoders.filling import Fill, fills
from streams.encoders.states import Standing, standings
from streams.settings import Settings
from streams.stores.protocols import EventStore
from streams.stores.triton_repository import Model, Repository


@click.group("models")
def command() -> None:
    """Show, deploy and change models. Every command here takes --json.

    Another encoder means other vectors. It is deployed as a model of its own (encoder_3, say), `migrate` fills a second
    index while the first serves, `cut-over` has it serve, `rollback` goes back, `drop` ends it. docs/models.md tells
    more.
    """


for move in (migrate, cut_over, rollback, drop):
    command.add_command(move)


@command.command("list")
@as_json_option
def list_(as_json: bool) -> None:
    """Show every model and version, its state in Triton, and for encoders how full their index is."""

    async def look(
        _: Settings, events: EventStore, repository: Repository
    ) -> tuple[list[Model], dict[str, Standing], dict[str, Fill]]:
        return await repository.models(), await standings(events), await fills(events)

    models, found, filled = asked(look)
    rows = [(one, found.get(one.name), filled.get(one.name)) for one in models]
    if as_json:
        click.echo(json.dumps({"models": [_row(*each) for each in rows]}))
        return
    headings = ("model", "version", "triton", "index", "full", "why not")
    click.echo(
        table(
            headings,
            [
                (model.name, model.version or "-", model.state or "UNLOADED", of.state if of else "-",
                 "-" if (full := fullness(of, fill)) is None else f"{full:.0%}", model.reason or "-")
                for model, of, fill in rows
            ],
        )
    )  # fmt: skip


def _row(model: Model, standing: Standing | None, fill: Fill | None) -> dict[str, object]:
    row: dict[str, object] = dict(model._asdict())
    if standing:
        row |= {"index": standing.state, "full": fullness(standing, fill), "encoder_version": standing.version}
    if standing and fill:
        row |= {"filled": fill.filled, "gone": fill.gone, "parity": json.loads(fill.parity or "null")}
    return row


@command.command("deploy")
@click.argument("model")
@as_json_option
def deploy(model: str, as_json: bool) -> None:
    """Load MODEL: a folder with config.pbtxt and versions, or the name of one in the model repository.

    A folder from elsewhere is copied into the repository first. One that Triton cannot load is taken out again, the
    versions that served go on, and the reason is told (status 1). May be repeated.
    """

    async def load(settings: Settings, _: EventStore, repository: Repository) -> Deployed:
        click.echo(f"loading {model}: this takes as long as reading its weights", err=True)
        return await put_to_work(settings, repository, model)

    done = asked(load)
    if as_json:
        click.echo(json.dumps(done._asdict()))
        return
    click.echo(f"{done.model} serves in version {done.version}" + (f", before {done.before}" if done.before else ""))
    if done.model.startswith("encoder_") and not done.before:
        click.echo(f"No answer uses it yet: `pinstream models migrate {done.model}` fills an index with it.")
