"""Compacting the live board graph beside everything else: the copying holds neither the loop nor Python's lock."""

from __future__ import annotations

import asyncio

from streams.state import HotState


async def compact(state: HotState) -> bool:
    """Compact the board graph where that is worth its while; returns whether it was.

    Saves go on meanwhile. Raises MemoryError, and leaves the graph as it is, where there is no room for a copy.
    """
    graph = state.board_graph
    if not graph.loose:
        return False
    sides = graph.compaction()
    try:
        for side in sides:
            await asyncio.to_thread(side.run)
    except BaseException:
        for side in sides:
            side.leave()
        raise
    for side in sides:
        side.swap()
    return True
