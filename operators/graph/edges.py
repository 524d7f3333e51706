"""Changes of edges in both directions at once, compiled. An edge lives while one of its reasons does."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.graph.segments import DEGREE, KEYS, LEFT, MOST_KEYS, ROOM, START, USED, delete, find, fits, insert, own

#: A mark has an edge's reasons (``Origin``) in its lowest two bits, and above them the epoch of its first save.
SAVED, REASONS, EPOCH_SHIFT = 1, 3, 2
EPOCHS = 64
#: Counters: saved edges of each epoch, all living edges, the largest degree of a pin, whether that must be looked up.
EDGES, LARGEST, UNSURE = EPOCHS, EPOCHS + 1, EPOCHS + 2


@njit(cache=True, nogil=True)
def _place(pin, board, p_table, p_arena, b_table, b_arena):  # type: ignore[no-untyped-def]
    """Place of an edge in the pin's run, -1 where there is none: the shorter of the two runs is read first."""
    if b_table[board, DEGREE] < p_table[pin, DEGREE] and find(board, pin, b_table, b_arena) < 0:
        return np.int64(-1)
    return find(pin, board, p_table, p_arena)


@njit(cache=True, nogil=True)
def _cut(pin, place, p_side, b_side, counts):  # type: ignore[no-untyped-def]
    p_table, p_arena, p_marks, p_state, _ = p_side
    b_table, b_arena, b_marks, b_state, _ = b_side
    board = p_arena[place]
    if p_table[pin, DEGREE] == counts[LARGEST]:
        counts[UNSURE] = 1
    delete(pin, place, p_table, p_arena, p_marks, p_state)
    delete(board, find(board, pin, b_table, b_arena), b_table, b_arena, b_marks, b_state)
    counts[EDGES] -= 1


@njit(cache=True, nogil=True)
def add(pins, boards, origins, epoch, first, p_side, b_side, counts):  # type: ignore[no-untyped-def]
    """Add edges ``first…``; returns where it stopped for want of room."""
    p_table, p_arena, p_marks, p_state, p_keys = p_side
    b_table, b_arena, b_marks, b_state, b_keys = b_side
    for i in range(first, len(pins)):
        pin, board, origin = pins[i], boards[i], np.int64(origins[i])
        if not fits(pin, p_table, p_arena, p_state) or not fits(board, b_table, b_arena, b_state):
            return i
        place = _place(pin, board, p_table, p_arena, b_table, b_arena)
        before = np.int64(p_marks[place]) if place >= 0 else 0
        if before & origin == origin:
            continue
        mark = before | origin
        if origin & SAVED and not before & SAVED:
            mark = (mark & REASONS) | epoch << EPOCH_SHIFT
            counts[epoch] += 1
        if place >= 0:
            offset = place - p_table[pin, START]
            own(pin, p_table, p_arena, p_marks, p_state)
            p_marks[p_table[pin, START] + offset] = mark
            continue
        insert(pin, board, b_keys[board], mark, p_table, p_arena, p_marks, p_state)
        insert(board, pin, p_keys[pin], 0, b_table, b_arena, b_marks, b_state)
        counts[EDGES] += 1
        counts[LARGEST] = max(counts[LARGEST], p_table[pin, DEGREE])
    return len(pins)


@njit(cache=True, nogil=True)
def drop(pins, boards, origin, first, p_side, b_side, counts):  # type: ignore[no-untyped-def]
    """Take one reason from edges ``first…``; returns where it stopped for want of room."""
    p_table, p_arena, p_marks, p_state, _ = p_side
    b_table, b_arena, _, b_state, _ = b_side
    for i in range(first, len(pins)):
        pin, board = pins[i], boards[i]
        if not fits(pin, p_table, p_arena, p_state) or not fits(board, b_table, b_arena, b_state):
            return i
        place = _place(pin, board, p_table, p_arena, b_table, b_arena)
        if place < 0:
            continue
        mark = np.int64(p_marks[place])
        if mark & origin & SAVED:
            counts[mark >> EPOCH_SHIFT] -= 1
        if mark & REASONS & ~origin:
            offset = place - p_table[pin, START]
            own(pin, p_table, p_arena, p_marks, p_state)
            p_marks[p_table[pin, START] + offset] = mark & ~origin
        elif mark & origin:
            _cut(pin, place, p_side, b_side, counts)
    return len(pins)


@njit(cache=True, nogil=True)
def clear(pins, first, p_side, b_side, counts):  # type: ignore[no-untyped-def]
    """Take pins ``first…`` off their boards, last ones first; returns where it stopped for want of room."""
    p_table, p_arena, p_marks, p_state, _ = p_side
    b_table, b_arena, b_marks, b_state, _ = b_side
    for i in range(first, len(pins)):
        pin = pins[i]
        if p_table[pin, DEGREE] == counts[LARGEST]:
            counts[UNSURE] = 1
        while p_table[pin, DEGREE]:
            place = p_table[pin, START] + p_table[pin, DEGREE] - 1
            board, mark = p_arena[place], np.int64(p_marks[place])
            if not fits(board, b_table, b_arena, b_state):
                return i
            delete(board, find(board, pin, b_table, b_arena), b_table, b_arena, b_marks, b_state)
            if mark & SAVED:
                counts[mark >> EPOCH_SHIFT] -= 1
            # Entries are not touched, so the run need not be the pin's own.
            p_table[pin, DEGREE] -= 1
            counts[EDGES] -= 1
        p_state[LEFT] += p_table[pin, ROOM]
        p_table[pin, START] = p_table[pin, KEYS] = p_table[pin, ROOM] = 0
    return len(pins)


@njit(cache=True, nogil=True)
def forget(epoch, first, p_side, b_side, counts):  # type: ignore[no-untyped-def]
    """Take the saves of an epoch away, from pin ``first`` on; returns where it stopped for want of room."""
    p_table, p_arena, p_marks, p_state, _ = p_side
    b_table, b_arena, _, b_state, _ = b_side
    for pin in range(first, len(p_table)):
        for back in range(p_table[pin, DEGREE], 0, -1):
            place = p_table[pin, START] + back - 1
            mark = np.int64(p_marks[place])
            if not mark & SAVED or mark >> EPOCH_SHIFT != epoch:
                continue
            if not fits(pin, p_table, p_arena, p_state) or not fits(p_arena[place], b_table, b_arena, b_state):
                return pin
            counts[epoch] -= 1
            if mark & REASONS != SAVED:
                own(pin, p_table, p_arena, p_marks, p_state)
                p_marks[p_table[pin, START] + back - 1] = mark & REASONS & ~SAVED
            else:
                _cut(pin, place, p_side, b_side, counts)
    return len(p_table)


@njit(cache=True, nogil=True)
def tell(nodes, keys, first, side, other):  # type: ignore[no-untyped-def]
    """Give nodes ``first…`` of one side keys, and move them in their neighbours' runs; returns where it stopped."""
    table, arena, _, _, own_keys = side
    o_table, o_arena, o_marks, o_state, _ = other
    for i in range(first, len(nodes)):
        node, key = nodes[i], keys[i]
        if own_keys[node] == key:
            continue
        start, degree = np.int64(table[node, START]), np.int64(table[node, DEGREE])
        wanted = np.int64(0)
        for at in range(start, start + degree):
            wanted += 4 * (o_table[arena[at], DEGREE] + MOST_KEYS + 2)
        if o_state[USED] + wanted > len(o_arena):
            return i
        own_keys[node] = key
        for at in range(start, start + degree):
            neighbour = arena[at]
            place = find(neighbour, node, o_table, o_arena)
            mark = o_marks[place] if len(o_marks) else 0
            delete(neighbour, place, o_table, o_arena, o_marks, o_state)
            insert(neighbour, node, key, mark, o_table, o_arena, o_marks, o_state)
    return len(nodes)
