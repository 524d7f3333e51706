"""Slates of a whole engine made again from ClickHouse, bit for bit, after a restart: ``python -m bench replay_slates``.

Starts an engine of its own in ``.pinstream/bench``: every part, Triton on whatever it finds. Pins and their pictures
are those of the shipped sample; who does what is simulated. When enough slates are recorded, the worker is stopped and
ClickHouse started again; then each is made again in this process, which knows nothing but its record. Ends with status
1 where one differs.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import click
import numpy as np

from bench.freshness import _lines, _send, _understand
from infra import supervisor
from streams.cli.running import EngineFailed, home_of_its_own, running
from streams.settings import Settings
from streams.slate_replay import recorded, replay
from streams.stores.clickhouse import open_event_store
from streams.traffic.watch import Watch

#: Events a second that are sent until enough slates are recorded, and seconds that this may take.
RATE, PATIENCE = 200, 300
CHOICES = "[recording]\nper_second = 1000\n"


@click.command("replay_slates")
@click.option("--slates", default=1_000, show_default=True, help="Slates to make again, chosen at random.")
@click.option("--pins", default=350, show_default=True, type=click.IntRange(1, 350), help="Photos understood before.")
@click.option("--seed", default=0, show_default=True, help="Which slates.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(slates: int, pins: int, seed: int, as_json: bool) -> None:
    """Make slates of a real engine again, and compare them with what went out."""
    installed = Settings.load()
    try:
        settings = home_of_its_own(installed, "bench")
        settings.home.mkdir(parents=True, exist_ok=True)
        (settings.home / "slates.toml").write_text(CHOICES)
        with running(settings, installed, lambda line: click.echo(line, err=True)) as worker, Watch(settings) as watch:
            _understand(settings, worker, watch, pins)
            ends = time.monotonic() + PATIENCE
            while (ready := asyncio.run(_recorded(settings))) < slates and time.monotonic() < ends:
                worker.check()
                click.echo(f"{ready} slates recorded", err=True)
                _send(settings, list(_lines(RATE * 10, 500)), RATE)
            worker.stop()
            supervisor.down(settings, lambda _: None, names=["clickhouse"])
            supervisor.up(settings, names=["clickhouse"])
            told = asyncio.run(_replayed(settings, slates, seed))
    except EngineFailed as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(told) if as_json else "\n".join(f"{name}: {value}" for name, value in told.items()))
    if told["differ"] or told["replayed"] < slates:
        raise SystemExit(1)


async def _recorded(settings: Settings) -> int:
    events = open_event_store(settings)
    try:
        rows = await events.query("SELECT uniqExact(slate) AS n FROM slate_records")
        return int(rows["n"][0])
    finally:
        await events.close()


async def _replayed(settings: Settings, slates: int, seed: int) -> dict[str, Any]:
    events = open_event_store(settings)
    try:
        rows = await events.query("SELECT slate, length(record) AS bytes FROM slate_records FINAL ORDER BY slate")
        ids = np.random.default_rng(seed).permutation(rows["slate"])[:slates].tolist()
        differences: list[str] = []
        without: Counter[str] = Counter()
        candidates, explored, cpu = 0, 0, 0.0
        for slate in ids:
            found = await recorded(events, slate)
            began = time.process_time()
            made = replay(found)
            cpu += time.process_time() - began
            candidates += len(found.record.candidates)
            explored += sum(item.explored for item in made.replayed.slate.items)
            without.update(made.replayed.slate.degraded or ["nothing"])
            if made.difference:
                differences.append(f"{slate}: {made.difference}")
    finally:
        await events.close()
    n = max(1, len(ids))
    return {
        "replayed": len(ids),
        "bit_for_bit": len(ids) - len(differences),
        "differ": len(differences),
        "first_differences": differences[:5],
        "candidates_a_slate": round(candidates / n, 1),
        "places_explored": explored,
        "made_without": dict(without),
        "bytes_a_record": round(float(np.mean(rows["bytes"]))),
        "replay_cpu_ms": round(cpu / n * 1000, 2),
    }


if __name__ == "__main__":
    command()
