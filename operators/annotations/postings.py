"""Compiled parts of the text index: documents in one arena, and for each word a list of the documents that have it.

``facts`` of a document are its pin (dense), where its words start, how many there are and how many are no breaks.
``lists`` has of each word the newest entry of its list and how many living documents have it; a list runs through
``links``: document, the entry before it, and the word's weight in it, in sixteenths.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Sixteenths of a word in each field, in the order of :class:`operators.annotations.words.Field`, and the largest sum.
FIELD_WEIGHTS = np.array([32, 12, 12, 12, 16], np.int64)
HEAVIEST = 255
#: Documents of one word that a query looks at, the newest first: 10 ns each.
MOST_DOCUMENTS = 500_000


@njit(cache=True)
def distinct(arena, fields, start, count, words, weights):  # type: ignore[no-untyped-def]
    """The different words of a document with their weights; returns how many."""
    size = 0
    for at in range(start, start + count):
        word = arena[at]
        if word < 0:
            continue
        place = 0
        while place < size and words[place] != word:
            place += 1
        if place == size:
            words[size], weights[size] = word, 0
            size += 1
        weights[place] = min(HEAVIEST, weights[place] + FIELD_WEIGHTS[fields[at]])
    return size


@njit(cache=True)
def put(pins, ends, words, new_fields, current, facts, first, arena, fields, used, links, posted, lists):  # type: ignore[no-untyped-def]
    """Append documents and take what they replace out of the counts; returns (arena used, entries used)."""
    longest = 1
    begin = 0
    for i in range(len(pins)):
        longest = max(longest, ends[i] - begin, facts[current[pins[i]], 2] if current[pins[i]] >= 0 else 0)
        begin = ends[i]
    some, sums = np.empty(longest, np.int32), np.empty(longest, np.int64)
    begin = 0
    for i in range(len(pins)):
        pin = pins[i]
        before = current[pin]
        if before >= 0:
            size = distinct(arena, fields, facts[before, 1], facts[before, 2], some, sums)
            for j in range(size):
                lists[some[j], 1] -= 1
            current[pin] = -1
        count = ends[i] - begin
        if count > 0:
            document = first + i
            facts[document, 0], facts[document, 1], facts[document, 2], facts[document, 3] = pin, used, count, 0
            for j in range(count):
                arena[used + j], fields[used + j] = words[begin + j], new_fields[begin + j]
                facts[document, 3] += 1 if words[begin + j] >= 0 else 0
            size = distinct(arena, fields, used, count, some, sums)
            for j in range(size):
                word = some[j]
                links[posted, 0], links[posted, 1], links[posted, 2] = document, lists[word, 0], sums[j]
                lists[word, 0] = posted
                lists[word, 1] += 1
                posted += 1
            used += count
            current[pin] = document
        else:
            facts[first + i, 0] = -1
        begin = ends[i]
    return used, posted


@njit(cache=True)
def collect(words, shares, current, facts, links, lists, slope, short, per_word, scratch):  # type: ignore[no-untyped-def]
    """Add up BM25 of living documents in ``scratch`` (all 0 before); returns those that have any of the words."""
    room = 1024
    touched = np.empty(room, np.int32)
    count = 0
    for i in range(len(words)):
        at, left = lists[words[i], 0], MOST_DOCUMENTS
        while at >= 0 and left > 0:
            left -= 1
            document = links[at, 0]
            if current[facts[document, 0]] == document:
                if scratch[document] == 0.0:
                    if count == room:
                        room *= 2
                        larger = np.empty(room, np.int32)
                        larger[:count] = touched
                        touched = larger
                    touched[count] = document
                    count += 1
                times = links[at, 2] / 16.0
                scratch[document] += (
                    shares[i]
                    * times
                    * (1.0 + slope)
                    / (times + slope * (1.0 - short + short * facts[document, 3] / per_word))
                )
            at = links[at, 1]
    return touched[:count]


@njit(cache=True)
def together(found, phrases, ends, bonuses, facts, arena, fields, scores):  # type: ignore[no-untyped-def]
    """Add the bonus of each phrase whose words a document has side by side, by the field that is worth most."""
    for i in range(len(found)):
        start, count = facts[found[i], 1], facts[found[i], 2]
        begin = 0
        for p in range(len(ends)):
            length = ends[p] - begin
            best = 0
            for at in range(start, start + count - length + 1):
                same = 0
                while same < length and arena[at + same] == phrases[begin + same]:
                    same += 1
                if same == length:
                    best = max(best, FIELD_WEIGHTS[fields[at]])
            scores[i] += bonuses[p] * best / 16.0
            begin = ends[p]
