"""``pinstream replay-slate``: make a slate again from what was logged of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click
import numpy as np

from operators.identity import stable_id
from operators.slate.replay import replayed
from streams.settings import Settings
from streams.slate_replay import NoRecord, NoSlate, Replay, recorded, replay
from streams.stores.clickhouse import open_event_store
from streams.stores.protocols import StoreUnavailable
from streams.stores.triton import TritonModels


@click.command(name="replay-slate")
@click.argument("slate")
@click.option("--ask-triton", is_flag=True, help="Also score with the ranker of today, and tell what that changes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(slate: str, ask_triton: bool, as_json: bool) -> None:
    """Make SLATE again from its record, and compare it with what went out, bit for bit.

    Status 1 where anything differs. Needs ClickHouse (`pinstream up`), and no worker.
    """
    try:
        told = asyncio.run(_told(Settings.load(), stable_id(slate), ask_triton))
    except (NoSlate, NoRecord, ValueError) as absent:
        raise click.ClickException(str(absent)) from None
    except StoreUnavailable as gone:
        raise click.ClickException(f"{gone}. `pinstream up` starts the parts; `pinstream doctor` says more.") from None
    click.echo(json.dumps(told) if as_json else _text(told))
    if not told["reproduced"]:
        raise SystemExit(1)


async def _told(settings: Settings, slate: int, ask_triton: bool) -> dict[str, Any]:
    events = open_event_store(settings)
    try:
        made = replay(await recorded(events, slate, settings.transforms))
    finally:
        await events.close()
    record, again = made.recorded.record, made.replayed
    told: dict[str, Any] = {
        "slate": slate,
        "reproduced": not made.difference,
        "difference": made.difference or None,
        "candidates": len(record.candidates),
        "kept": len(again.candidates),
        "places": len(again.slate.items),
        "bytes": len(record.message),
        "spec": record.header.spec,
        "models": record.header.models,
        "seed": again.slate.seed,
    }
    return told | ({"today": await _today(settings, made)} if ask_triton else {})


async def _today(settings: Settings, made: Replay) -> dict[str, Any]:
    """What the ranker that serves now says of the same features."""
    record, before = made.recorded.record, made.replayed
    models = TritonModels(settings)
    try:
        ranked = await models.rank(before.features)
    finally:
        await models.close()
    after = replayed(record, made.recorded.spec, ranked.probabilities)
    same = sum(one.pin == other.pin for one, other in zip(before.slate.items, after.slate.items, strict=False))
    expected = record.probabilities
    return {
        "ranker": ranked.version,
        "largest_change": None if expected is None else float(np.abs(expected - ranked.probabilities).max(initial=0)),
        "same_places": same,
    }


def _text(told: dict[str, Any]) -> str:
    head = f"Slate {told['slate']}: {told['places']} places of {told['kept']} candidates"
    head += f" ({told['candidates']} before filters), spec {told['spec']}, seed {told['seed']}."
    result = (
        f"Made again bit for bit: all {told['bytes']:,} bytes of the message are the same."
        if told["reproduced"]
        else f"It differs. First difference: {told['difference']}"
    )
    lines = [head, result]
    if today := told.get("today"):
        change = "nothing to compare with" if today["largest_change"] is None else f"{today['largest_change']:.3g}"
        lines.append(
            f"The ranker of today (version {today['ranker']}): largest change of a probability {change}; "
            f"{today['same_places']} of {told['places']} places keep their pin."
        )
    return "\n".join(lines)
