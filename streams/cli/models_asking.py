"""What the commands of ``pinstream models`` have in common: whom they ask, and what people are told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import click

from streams.encoders.deploying import DeployRefused
from streams.encoders.filling import Fill
from streams.encoders.moves import MoveRefused
from streams.encoders.states import KEPT, Standing, State
from streams.settings import Settings
from streams.stores.clickhouse import ClickHouseError, open_event_store
from streams.stores.protocols import EventStore, StoreUnavailable
from streams.stores.triton_repository import Repository

T = TypeVar("T")
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@contextmanager
def explained() -> Generator[None]:
    """What people can do something about, as a message and status 1; 2 where a part does not answer."""
    try:
        yield
    except (DeployRefused, MoveRefused) as error:
        raise click.ClickException(str(error)) from None
    except (StoreUnavailable, ClickHouseError) as error:
        click.echo(f"{error}\nIs it running? `pinstream up` starts it.", err=True)
        sys.exit(2)


def asked(work: Callable[[Settings, EventStore, Repository], Awaitable[T]]) -> T:
    """The outcome of ``work`` with ClickHouse and Triton's repository."""

    async def run() -> T:
        settings = Settings.load()
        events, repository = open_event_store(settings), Repository(settings)
        try:
            return await work(settings, events, repository)
        finally:
            await repository.close()
            await events.close()

    with explained():
        return asyncio.run(run())


def fullness(standing: Standing | None, fill: Fill | None) -> float | None:
    """Share of the stored pins that an index was filled from, 0 … 1; None for what has no index."""
    if standing is None or standing.state not in KEPT:
        return None
    if standing.state is not State.FILLING:
        return 1.0
    if fill is None or fill.began != standing.changed:
        return 0.0
    return min(1.0, (fill.filled + fill.gone) / max(1, fill.total))
