"""Related pins in a running worker: what is acted on in one sitting, and what is clicked; and both after a kill."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.integration.running import Worker, until

pytestmark = pytest.mark.real

FIRST = 77_340_001
TRIPLES = [[FIRST + 3 * group + place for place in range(3)] for group in range(4)]
ASKED, ITS_OWN = TRIPLES[0][0], set(TRIPLES[0][1:])
LOVED, IGNORED = TRIPLES[3][0], TRIPLES[3][1]
#: Three hundred sessions a triple: of ten, vectors know next to nothing yet.
PINNERS = range(8_810_000, 8_811_200)


def asked(worker: Worker, query: str = "") -> dict[str, Any]:
    return worker.get(f"/v1/pins/{ASKED}/related?n=50{query}")


def of_sessions(worker: Worker) -> set[int]:
    """Neighbours by Pin2Vec among the pins of this test, as many as belong together.

    But for the last triple: what is clicked of it lifts it, and where thousands of other pins are known all cosines of
    these lie within .001, so the clicks that are learned count for more than they do.
    """
    mine = {pin for triple in TRIPLES[:-1] for pin in triple}
    found = [item["pin"] for item in asked(worker, "&sources=pin2vec")["items"] if item["pin"] in mine]
    return set(found[: len(ITS_OWN)])


def boosts(worker: Worker) -> dict[int, float]:
    return {item["pin"]: item["boost"] for item in asked(worker)["items"] if item["boost"]}


@pytest.mark.timeout(600)
def test_sessions_and_clicks_make_related_pins_and_survive_a_kill(worker: Worker) -> None:
    now = int(time.time() * 1000)
    pins = [pin for triple in TRIPLES for pin in triple]
    worker.send("pins", [{"type": "created", "time": now, "pin": pin, "pinner": 1, "title": str(pin)} for pin in pins])
    closeups = [
        {"type": "closeup", "time": now + place, "pinner": pinner, "pin": pin}
        for pinner in PINNERS
        for place, pin in enumerate(TRIPLES[pinner % len(TRIPLES)])
    ]
    until("the pins are known", lambda: all(known(worker, pin) for pin in pins), 60)
    worker.send("clicks", closeups)
    until("pins of its sessions are nearest", lambda: of_sessions(worker) == ITS_OWN, 120)

    seen = {"slate": asked(worker)["slate"], "surface": "related", "position": 0}
    shown = [
        {"time": now + 100 + n, "pinner": PINNERS[n], "pin": pin, **seen} for n in range(40) for pin in (LOVED, IGNORED)
    ]
    worker.send("impressions", shown)
    saves = [{"time": now + 200 + n, "pinner": PINNERS[n], "pin": LOVED, "board": 5, **seen} for n in range(30)]
    worker.send("saves", saves)
    until("what is clicked is lifted", lambda: boosts(worker).get(LOVED, 0) > 0.4, 60)
    until("and what is not sinks", lambda: boosts(worker).get(IGNORED, 0) < 0, 30)
    # Sums are in ClickHouse a moment after memory has them.
    count = "SELECT sum(impressions + saves) AS n FROM related_actions WHERE slate = " + str(seen["slate"])
    until("all is stored", lambda: int(worker.query(count)["n"][0]) == len(shown) + len(saves), 60)
    before = boosts(worker)
    assert not worker.differing()

    worker.kill()
    worker.start()
    assert boosts(worker)[LOVED] == before[LOVED]
    until("what was learned is learned again", lambda: of_sessions(worker) == ITS_OWN, 120)
    # What only sessions bring into the answer has its boost there, too, once it is back.
    until("all boosts are as before", lambda: boosts(worker) == before, 60)


def known(worker: Worker, pin: int) -> bool:
    try:
        return bool(worker.get(f"/v1/pins/{pin}"))
    except OSError:
        return False
