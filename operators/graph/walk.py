"""The walk: random steps pin → board → pin from one pin, with restarts, in compiled code.

After Eksombatchai et al., "Pixie" (WWW 2018), algorithms 1 and 2. Almost every read of a large graph misses the
processor's caches, so :data:`LANES` walkers take their steps side by side: their misses overlap. Numbers are unsigned,
as an index that may be negative costs a comparison.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.graph.segments import DEGREE, KEYS, START, bits

#: Walkers side by side.
LANES = 32
#: No key is preferred.
ANY = -1
#: A random number's bits: 28 choose a board, 28 a pin, 8 decide about a restart.
_CHOICE, _RESTART = np.uint64(28), np.uint64(56)
_CHOICE_MASK = np.uint64((1 << 28) - 1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE, _HALF = np.uint64(1), np.uint64(32)
_VISITS = np.uint64(0xFFFFFFFF)


@njit(cache=True, nogil=True)
def _random(seed, number):  # type: ignore[no-untyped-def]
    """The ``number``-th output of SplitMix64 (Steele et al., 2014): none waits for the one before."""
    x = seed + np.uint64(number + 1) * _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def _preferred(node, key, chance, table, arena):  # type: ignore[no-untyped-def]
    """Place of a neighbour, evenly among those with the key where there are such, else among all."""
    start, degree, keys = np.uint64(table[node, START]), np.uint64(table[node, DEGREE]), np.int64(table[node, KEYS])
    if keys & (keys - 1) and keys >> key & 1:
        group = np.uint64(bits(keys & ((np.int64(1) << key) - 1)))
        ends = start - np.uint64(bits(keys)) + group
        first = np.uint64(arena[ends - _ONE]) if group else np.uint64(0)
        if np.uint64(arena[ends]) > first:
            start, degree = start + first, np.uint64(arena[ends]) - first
    return start + (chance * degree >> _CHOICE)


@njit(cache=True, nogil=True)
def walk(query, steps, restart, key, seed, many, visits, p_table, p_arena, b_table, b_arena, cells, found):  # type: ignore[no-untyped-def]
    """Walk from a pin that has a board; returns the steps taken and the pins found.

    Tables and arenas are uint32. ``cells`` (uint64, a power of two, all 0) counts visits, ``pin + 1 << 32 | visits``
    by open addressing; ``found`` lists its cells in use. ``restart`` is in parts of 256. Stops when more than ``many``
    pins were visited ``visits`` times; 0 visits: never.
    """
    at, place = np.full(LANES, query, np.uint32), np.empty(LANES, np.uint32)
    random = np.empty(LANES, np.uint64)
    mask, shift, again = np.uint64(len(cells) - 1), np.uint64(64 - bits(len(cells) - 1)), np.uint64(restart)
    done, reached, size = 0, 0, 0
    while done < steps and reached <= many:
        lanes = min(LANES, steps - done)
        for i in range(lanes):
            random[i] = _random(seed, done + i)
        if key < 0:
            for i in range(lanes):
                start, degree = np.uint64(p_table[at[i], START]), np.uint64(p_table[at[i], DEGREE])
                place[i] = start + ((random[i] & _CHOICE_MASK) * degree >> _CHOICE)
        else:
            for i in range(lanes):
                place[i] = _preferred(at[i], key, random[i] & _CHOICE_MASK, p_table, p_arena)
        for i in range(lanes):
            at[i] = p_arena[place[i]]
        if key < 0:
            for i in range(lanes):
                start, degree = np.uint64(b_table[at[i], START]), np.uint64(b_table[at[i], DEGREE])
                place[i] = start + ((random[i] >> _CHOICE & _CHOICE_MASK) * degree >> _CHOICE)
        else:
            for i in range(lanes):
                place[i] = _preferred(at[i], key, random[i] >> _CHOICE & _CHOICE_MASK, b_table, b_arena)
        for i in range(lanes):
            at[i] = b_arena[place[i]]
        for i in range(lanes):
            name = np.uint64(at[i]) + _ONE
            cell = name * _GOLDEN >> shift
            while cells[cell] >> _HALF != name and cells[cell]:
                cell = (cell + _ONE) & mask
            if not cells[cell]:
                cells[cell] = name << _HALF
                found[size] = cell
                size += 1
            cells[cell] += _ONE
            reached += (cells[cell] & _VISITS) == visits
        for i in range(lanes):
            # Without a branch, as no processor can foresee it.
            at[i] = query if random[i] >> _RESTART < again else at[i]
        done += lanes
    return done, size
