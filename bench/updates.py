"""Saves into all that related pins come from, on one core: board graph (with co-occurrence) and Pin2Vec together.

    .venv/bin/python -m bench updates [--saves 600000] [--pins 50000] [--boards 20000] [--pinners 20000] [--json]

**The saves are simulated**: pins and boards by Zipf's law, pinners at random. Times are of the processor. Co-occurrence
has no state of its own: it is asked of the board graph. Prints saves a second of each and of both, whether the cost of
a save grows with what is known already (last tenth against the one in the middle; no session ends, so that every save
is learned with a full window), and bytes by pin, board and pinner.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from bench.pixie import zipf
from operators.graph.live import LiveGraph
from operators.pin2vec.pin2vec import Pin2Vec
from operators.pin2vec.waiting import Actions

START = 1_750_000_000_000
EVER = 2**62
BATCH = 1_000
#: Bytes of an edge in the compacted graph, by which memory is split between pins and boards.
SIDES = ("by_pin", "by_board")


def measure(saves: int, pins: int, boards: int, pinners: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    pin, board = zipf(random, saves, pins, 0.8), zipf(random, saves, boards, 0.7)
    pinner = random.integers(1, pinners + 1, saves)
    at = START + np.arange(saves)
    event = random.integers(1, 2**62, saves)
    graph, model = LiveGraph(), Pin2Vec()
    parts = -(-saves // BATCH)
    spent = np.zeros((2, parts))
    for number, first in enumerate(range(0, saves, BATCH)):
        part = slice(first, first + BATCH)
        began = time.process_time()
        graph.add(pin[part], board[part])
        between = time.process_time()
        model.add(Actions(at[part], event[part], pinner[part], pin[part], at[part]))
        model.learn(EVER)
        spent[:, number] = between - began, time.process_time() - between
    graph.compact()
    tenth = max(1, parts // 10)
    known = graph.snapshot()
    of_pins, of_boards = (sum(array.nbytes for name, array in known.items() if name.startswith(side)) for side in SIDES)
    middle = spent[:, parts // 2 : parts // 2 + tenth].sum(axis=1)
    names = {"board graph": 0, "Pin2Vec": 1}
    return {
        "saves": saves,
        "known pins": len(known["pins"]),
        "known boards": len(known["boards"]),
        "pins with a vector": len(model),
        **{f"{name}, saves/s": saves / spent[row].sum() for name, row in names.items()},
        "both, saves/s": saves / spent.sum(),
        **{f"{name}, last tenth / middle": spent[row, -tenth:].sum() / middle[row] for name, row in names.items()},
        "bytes/pin, graph": (of_pins + known["pins"].nbytes) / len(known["pins"]),
        "bytes/board, graph": (of_boards + known["boards"].nbytes) / len(known["boards"]),
        "bytes/pin, Pin2Vec": model.nbytes_of_pins / max(1, len(model)),
        "bytes/pinner, Pin2Vec": model.nbytes_of_pinners / pinners,
        "bytes/edge, graph with room for more": graph.nbytes / len(graph),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=600_000)
    parser.add_argument("--pins", type=int, default=50_000)
    parser.add_argument("--boards", type=int, default=20_000)
    parser.add_argument("--pinners", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    measure(5_000, 100, 50, 50, 0)  # compiles
    found = measure(given.saves, given.pins, given.boards, given.pinners, given.seed)
    if given.json:
        print(json.dumps({"simulated": True, **found}))
        return
    for name, value in found.items():
        print(f"{name:<45}{value:>14,.2f}" if value < 1_000 else f"{name:<45}{value:>14,.0f}")


if __name__ == "__main__":
    main()
