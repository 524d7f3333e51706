"""``pinstream evaluate vision``: every quality figure of the visual half, with its goal and whether it is met."""

from __future__ import annotations

import importlib
import os
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import orjson

from bench.quality.figure import Figure, Given, MissingData, Say
from infra import supervisor
from infra.ports import free_ports
from streams.cli.running import EngineFailed, home_of_its_own, link_installed
from streams.cli.tables import table
from streams.settings import EMBEDDED, PROJECT, Settings
from streams.stores.protocols import StoreUnavailable


class Part(NamedTuple):
    """A module of ``bench.quality`` whose ``figures`` are told."""

    module: str
    triton: bool


PARTS = {
    "embedding": Part("embedding", triton=False),
    "objects": Part("object_search", triton=True),
    "detector": Part("detection", triton=True),
    "weak-labels": Part("weak_labels", triton=True),
    "colours": Part("salient_colours", triton=False),
    "quality": Part("photo_quality", triton=False),
    "near-duplicates": Part("near_duplicates", triton=False),
    "annotations": Part("annotations", triton=True),
}
HEADINGS = ("part", "what", "split", "value", "goal", "met", "over")


@click.command("vision")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=lambda: Path(os.environ.get("PINSTREAM_DATA") or PROJECT.parent / "shared" / "data"),
    help="Folder of the real data sets. Default: PINSTREAM_DATA, or ../shared/data.",
)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Seeds of what is random.")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="This part alone; again for more.")
@click.option("--quick", is_flag=True, help="A part of the data: minutes instead of an hour, and less exact.")
@click.option("--strict", is_flag=True, help="Status 1 where a goal is missed or a part could not be measured.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def command(data: Path, seeds: int, only: tuple[str, ...], quick: bool, strict: bool, as_json: bool) -> None:
    """Measure embedding, object search, detector, weak labels, colours, quality, near-duplicates and annotations.

    On real data that nothing was learned from; choices were made on validation, test is apart. Starts a Triton of its
    own where a part needs one. A part whose data is not there is skipped and says so.
    """
    chosen = [name for name in PARTS if not only or name in only]
    found, skipped = measured(chosen, data, seeds, quick, lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(orjson.dumps({"quick": quick, "figures": [one.told() for one in found], "skipped": skipped}))
    else:
        for line in told(found):
            click.echo(line)
        for name, why in skipped.items():
            click.echo(f"{name}: skipped, {why}")
    if strict and (skipped.keys() & PARTS.keys() or any(one.met is False for one in found)):
        raise SystemExit(1)


def measured(
    chosen: Sequence[str], data: Path, seeds: int, quick: bool, say: Say
) -> tuple[list[Figure], dict[str, str]]:
    """The figures of these parts, and of those that could not be measured the reason."""
    settings = Settings.load()
    found: list[Figure] = []
    skipped: dict[str, str] = {}
    absent: dict[str, str] = {}
    with triton_when_needed(settings, say) as triton:
        for name in chosen:
            part = PARTS[name]
            started = time.monotonic()
            say(f"{name}: measuring")
            try:
                given = Given(data, seeds, quick, triton() if part.triton and data.is_dir() else settings, say, absent)
                found += importlib.import_module(f"bench.quality.{part.module}").figures(given)
                say(f"{name}: {time.monotonic() - started:.0f} s")
            except (
                MissingData,
                OSError,
                subprocess.CalledProcessError,
                StoreUnavailable,
                supervisor.PartFailed,
                EngineFailed,
            ) as error:
                skipped[name] = str(error)
                say(f"{name}: skipped, {error}")
    return found, skipped | absent


def told(figures: Sequence[Figure]) -> list[str]:
    """A table, and how many goals are met and which are not."""
    if not figures:
        return []
    judged = [one for one in figures if one.met is not None]
    missed = [one for one in judged if not one.met]
    lines = [table(HEADINGS, [one.row() for one in figures]), ""]
    lines.append(f"{len(judged) - len(missed)} of {len(judged)} goals met; missed:" if missed else "all goals met")
    return lines + [f"  {one.part}: {one.what}, {one.split}: {one.value:.3f}, wanted {one.goal}" for one in missed]


@contextmanager
def triton_when_needed(installed: Settings, say: Say) -> Generator[Callable[[], Settings]]:
    """A function that starts a Triton in a home of its own when first called, and gives its settings; stopped after.

    A Triton that is a server (PINSTREAM_TRITON) is used as it is.
    """
    mine: list[Settings] = []

    def started() -> Settings:
        if installed.triton != EMBEDDED:
            return installed
        if not mine:
            own = home_of_its_own(installed, "evaluate")
            # Other parts may be running on the ordinary ports.
            ports = dict(zip(("http", "grpc", "metrics"), free_ports(own.host, 3), strict=True))
            os.environ.update({f"PINSTREAM_PORT_TRITON_{name.upper()}": str(port) for name, port in ports.items()})
            supervisor.install(installed, ["triton"], say)
            link_installed(installed.home, own.home)
            mine.append(own)
            supervisor.up(own, say, ["triton"])
        return mine[0]

    try:
        yield started
    finally:
        if mine:
            supervisor.down(mine[0], say, ["triton"])
