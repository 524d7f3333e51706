"""Who is due is taken up when there is a free hand, and then all of them together."""

import asyncio
import time
from types import SimpleNamespace

import numpy as np

from streams.agents import feeds
from streams.feed_schedule import FeedSchedule
from streams.pace import Pace


async def test_those_who_come_due_while_all_hands_are_busy_are_made_together(monkeypatch):
    engine = SimpleNamespace(schedule=FeedSchedule(quiet=0, longest=0), pace=Pace())
    batches: list[list[int]] = []
    free = asyncio.Event()

    async def make(_, due):
        batches.append([entry.pinner for entry in due])
        await free.wait()

    monkeypatch.setattr(feeds, "_make", make)
    stop = asyncio.Event()
    running = asyncio.create_task(feeds.run(engine, stop.is_set))

    def act(pinner: int) -> None:
        same = np.array([pinner])
        engine.schedule.due(same, same, same, time.monotonic())

    for pinner in range(1, feeds.TOGETHER + 6):
        act(pinner)
        await asyncio.sleep(3 * feeds.IDLE)
    assert batches == [[pinner] for pinner in range(1, feeds.TOGETHER + 1)]
    free.set()
    while len(engine.schedule):
        await asyncio.sleep(feeds.IDLE)
    assert [sorted(batch) for batch in batches[feeds.TOGETHER :]] == [
        list(range(feeds.TOGETHER + 1, feeds.TOGETHER + 6))
    ]
    stop.set()
    await asyncio.wait_for(running, 5)


async def test_nobody_is_in_two_batches_at_a_time(monkeypatch):
    engine = SimpleNamespace(schedule=FeedSchedule(quiet=0, longest=0), pace=Pace())
    making, most = 0, 0

    async def make(_, due):
        nonlocal making, most
        making += 1
        most = max(most, making)
        await asyncio.sleep(5 * feeds.IDLE)
        making -= 1

    monkeypatch.setattr(feeds, "_make", make)
    stop = asyncio.Event()
    running = asyncio.create_task(feeds.run(engine, stop.is_set))
    for event in range(1, 10):
        engine.schedule.due(np.array([7]), np.array([event]), np.array([event]), time.monotonic())
        await asyncio.sleep(2 * feeds.IDLE)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert most == 1
