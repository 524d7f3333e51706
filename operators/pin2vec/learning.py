"""Skip-gram with negative sampling, one action after the other, compiled.

Mikolov et al., "Distributed representations of words and phrases and their compositionality", NIPS 2013; learned on
a stream as in Kaji, Kobayashi, "Incremental skip-gram model with negative sampling", EMNLP 2017: negatives come from a
table that follows the live counts. All chance comes from (event id, place), so the order of the actions decides all.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.chance import bits_of, chance

#: Counters: actions learned, actions counted (halved with the counts), vectors given away, entries of the table.
LEARNED, TOTAL, SLOTS, FILLED = range(4)


@njit(cache=True, nogil=True)
def _tell(row, count, power, table, state, mass, seed):  # type: ignore[no-untyped-def]
    """Let the table of negatives follow: of ``row`` it holds a share of ``count ** power``. Returns draws made."""
    gain = np.float64(count) ** power - np.float64(count - 1) ** power
    mass[0] += gain
    n = len(table)
    # While it fills, an entry for each whole unit of mass; then each new unit takes the place of a random one.
    wanted = gain * (1.0 if state[FILLED] < n else n / mass[0])
    copies = np.int64(wanted)
    if chance(seed, 0) < wanted - copies:
        copies += 1
    for i in range(copies):
        if state[FILLED] < n:
            table[state[FILLED]] = row
            state[FILLED] += 1
        else:
            table[np.int64(bits_of(seed, 1 + i) % np.uint64(n))] = row
    return 1 + copies


@njit(cache=True, nogil=True, fastmath=True)
def _pair(centre, context, rate, negatives, table, filled, slots, inner, outer, pull, seed, draw):  # type: ignore[no-untyped-def]
    """One step of gradient: ``centre`` expects ``context``, and not what is drawn. Numbers are slots."""
    d = inner.shape[1]
    v = inner[centre]
    for i in range(d):
        pull[i] = 0.0
    for n in range(negatives + 1):
        if n == 0:
            other, truth = context, np.float32(1.0)
        else:
            row = table[np.int64(bits_of(seed, draw + n) % np.uint64(filled))]
            other, truth = slots[row] if row >= 0 else -1, np.float32(0.0)
            if other < 0 or other in (context, centre):
                continue
        u = outer[other]
        dot = np.float32(0.0)
        for i in range(d):
            dot += v[i] * u[i]
        step = rate * (truth - np.float32(1.0) / (np.float32(1.0) + np.exp(-dot)))
        for i in range(d):
            pull[i] += step * u[i]
            u[i] += step * v[i]
    for i in range(d):
        v[i] += pull[i]


@njit(cache=True, nogil=True)
def learn(actions, ids, first, how, counts, slots, last, rings, table, mass, state, inner, outer):  # type: ignore[no-untyped-def]
    """Learn from actions ``first…`` in order; returns where it stopped for want of room for another vector.

    ``actions``: rows of pinners, rows of pins, times, events; ``ids`` are the pins' own. ``rings``
    ``(pinners, window + 1)``: how many actions, then rows of the last pins. ``how``: (window, negatives, rate, least,
    common, power, gap).
    """
    pinners, pins, times, events = actions
    window, negatives, rate, least, common, power, gap = how
    pull = np.empty(inner.shape[1], np.float32)
    for e in range(first, len(pins)):
        pin, pinner, time, seed = pins[e], pinners[e], times[e], events[e]
        if slots[pin] < 0 and counts[pin] + 1 >= least:
            if state[SLOTS] == len(inner):
                return e
            slot = state[SLOTS]
            state[SLOTS] += 1
            slots[pin] = slot
            for i in range(inner.shape[1]):
                inner[slot, i] = (chance(ids[pin], i) - 0.5) / inner.shape[1]
                outer[slot, i] = 0.0
        counts[pin] += 1
        state[TOTAL] += 1
        state[LEARNED] += 1
        draw = _tell(pin, counts[pin], power, table, state, mass, seed)
        ring = rings[pinner]
        if time - last[pinner] > gap or last[pinner] - time > gap:
            ring[0] = 0
        last[pinner] = time
        share = np.float64(counts[pin]) / np.float64(state[TOTAL])
        keep = np.sqrt(common / share) + common / share
        draw += 1
        if keep < 1.0 and state[TOTAL] > 1000 and chance(seed, draw) >= keep:
            continue
        held = min(ring[0], window)
        again = False
        for j in range(held):
            again |= ring[1 + j] == pin
        if again:
            continue
        if slots[pin] >= 0:
            for j in range(held):
                other = ring[1 + j]
                if other < 0 or slots[other] < 0:
                    continue
                one, two = slots[pin], slots[other]
                _pair(one, two, rate, negatives, table, state[FILLED], slots, inner, outer, pull, seed, draw)
                draw += negatives + 1
                _pair(two, one, rate, negatives, table, state[FILLED], slots, inner, outer, pull, seed, draw)
                draw += negatives + 1
        ring[1 + ring[0] % window] = pin
        ring[0] += 1
    return len(pins)
