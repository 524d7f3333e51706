"""``pinstream worker``: run the Faust app."""

from __future__ import annotations

import json
import os
from importlib import import_module

import click

from infra.spare import wait_until_needed
from streams.memory import collect_seldom
from streams.settings import Settings


@click.command(name="worker")
@click.option(
    "--loglevel",
    type=click.Choice(["crit", "error", "warn", "info", "debug"]),
    default="info",
    show_default=True,
    help="Faust's log level.",
)
@click.option(
    "--standby", is_flag=True, help="Import and compile everything, then wait until standard input says `go`."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object first: process id and address of the API.")
@click.argument("faust_arguments", nargs=-1, type=click.UNPROCESSED)
def command(loglevel: str, standby: bool, as_json: bool, faust_arguments: tuple[str, ...]) -> None:
    """Read the topics, keep the counts, vectors and slates, and serve the API, until stopped.

    The same as ``faust -A streams.app worker``; further arguments are passed on to it. Start as many as
    you like, on as many machines: Kafka's consumer group shares the partitions among them.
    """
    if as_json:
        settings = Settings.load()
        api = f"http://{settings.host}:{settings.port('api')}"
        click.echo(json.dumps({"pid": os.getpid(), "api": api}))
    collect_seldom()
    # Before numpy is loaded: threads of one product wait for each other busily, which costs the worker twice the time
    # of learning and gains nothing (21 ms of CPU a step with one, 43 with two).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from faust.cli.faust import cli  # here, because it takes a second that other commands need not wait for

    if standby:
        import_module("streams.app")
        from streams.warm_up import warm_up

        warm_up()
        click.echo("standing by")
        wait_until_needed()
    cli.main(["-A", "streams.app", "worker", "-l", loglevel, *faust_arguments])
