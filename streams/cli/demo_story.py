"""What the demo tells: firsts as they happen, and a pinner's feed before and after they save something."""

from __future__ import annotations

import threading
import time
from typing import Any

import click

from operators.events import VERSION
from operators.identity import stable_id
from streams.cli.running import EngineFailed, Worker
from streams.settings import Settings
from streams.traffic.lines import Line
from streams.traffic.replay import Account, replay
from streams.traffic.sample import titles, topics_of_pins
from streams.traffic.watch import Watch

NEWCOMER = "newcomer"
#: What the newcomer turns out to like.
TASTE = "dress"
SAVES = 3
#: Pins shown of a feed.
SHOWN = 8
#: Understood pins and slates told about one by one before only their number is.
FIRSTS = 3
SLATE_SECONDS = 60.0


class Story:
    """Tells about messages as they come (:meth:`hear`, from the watching thread) and about the newcomer."""

    def __init__(self) -> None:
        self._titles, self._shows = titles(), topics_of_pins()
        self._told: dict[str, int] = {}

    def chapter(self, text: str) -> None:
        click.echo(f"\n{text}")

    def hear(self, topic: str, message: dict[str, Any]) -> None:
        """One message of the engine: the first few of each topic are told."""
        told = self._told[topic] = self._told.get(topic, 0) + 1
        if told > FIRSTS:
            return
        if topic == "pin.understood":
            objects = ", ".join(found["label"] for found in message["objects"]) or "no object of its classes"
            click.echo(f"  understood {self.title(message['pin'])!r}: {objects}")
        elif topic == "feed.candidates":
            late = message["emitted"] - message["trigger_logged"]
            first = ", ".join(self.title(item["pin"]) for item in message["items"][:3])
            click.echo(f"  slate for pinner {message['pinner']}, {late} ms after they acted: {first} …")
        else:
            click.echo(f"  set aside: {message['reason']} ({message['detail']})")

    def title(self, pin: int) -> str:
        return self._titles.get(pin, f"pin {pin}")

    def newcomer(self, settings: Settings, worker: Worker, watch: Watch, stop: threading.Event) -> int:
        """Somebody new saves a few pins: their feed before, the saves, their feed after. Returns events delivered.

        Raises:
            EngineFailed: no new slate came.
        """
        before = worker.get(f"/v1/feed/{NEWCOMER}?n={SHOWN}")
        self._show("before", before)
        saved = [pin for pin, shows in self._shows.items() if shows == TASTE][:SAVES]
        click.echo("  saves " + ", ".join(self.title(pin) for pin in saved))
        now = int(time.time() * 1000)
        lines = [
            Line("saves", NEWCOMER, {"v": VERSION, "time": now, "pinner": NEWCOMER, "pin": pin, "board": TASTE})
            for pin in saved
        ]
        account = replay(lines, settings, Account())
        slate = self._slate_after(watch, now, worker, stop)
        click.echo(f"  a new slate came {slate['emitted'] - slate['trigger_logged']} ms after the save")
        after = worker.get(f"/v1/feed/{NEWCOMER}?n={SHOWN}")
        self._show("after", after)
        like = sum(self._shows.get(item["pin"]) == TASTE for item in after["items"])
        click.echo(f"  {like} of {len(after['items'])} show a {TASTE} (they saved {SAVES}, which are left out)")
        return account.delivered

    def _slate_after(self, watch: Watch, since: int, worker: Worker, stop: threading.Event) -> dict[str, Any]:
        deadline = time.monotonic() + SLATE_SECONDS
        while time.monotonic() < deadline and not stop.wait(0.02):
            slate = watch.seen.newest.get(stable_id(NEWCOMER))
            if slate and slate["trigger_logged"] >= since:
                return slate
            worker.check()
        raise EngineFailed(f"no slate for the newcomer within {SLATE_SECONDS:.0f} s of their saves")

    def _show(self, when: str, feed: dict[str, Any]) -> None:
        click.echo(f"  their feed {when}:")
        for place, item in enumerate(feed["items"][:SHOWN], 1):
            sources = ", ".join(item["sources"]) or "popular"
            click.echo(f"    {place}. {self.title(item['pin']):20} {item['score']:.3f}  from {sources}")
