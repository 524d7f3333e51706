"""What a worker's memory holds, as its API tells it: the survivors' must be that of one rebuilt from the ledger."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Sequence
from typing import Any

#: Sources of a feed that come from memory alone.
SOURCES = ("boards", "trending", "fresh", "followed")
#: Sums of floats differ by the order of addition, and scores are 32-bit.
RELATIVE = 1e-4
SHOWN = 5


def observed(url: str, pins: Sequence[int], pinners: Sequence[int], domains: Sequence[str]) -> dict[str, float]:
    """Name → number: qualities of pins, pinners and domains, and what each source proposes to these pinners."""
    seen: dict[str, float] = {}
    for kind, entities in (("pins", pins), ("pinners", pinners), ("domains", domains)):
        for entity in entities:
            quality = _get(f"{url}/v1/stats/{kind}/{entity}")["quality"]
            seen |= {f"{kind} {entity} {name}": value for name, value in quality.items()}
    for pinner in pinners:
        for item in _get(f"{url}/v1/feed/{pinner}?n=100")["items"]:
            for source in SOURCES:
                if source in item["sources"]:
                    seen[f"feed {pinner} {item['pin']} {source}"] = item["sources"][source]
    return seen


def differing(one: dict[str, float], other: dict[str, float]) -> list[str]:
    """Sentences. Of feeds only what both show is compared, as the order of a slate is drawn anew each time."""
    names = {
        name for name in one.keys() | other.keys() if not name.startswith("feed") or name in one.keys() & other.keys()
    }
    wrong = [
        f"{name}: {one.get(name)} and {other.get(name)}"
        for name in sorted(names)
        if not math.isclose(one.get(name, math.nan), other.get(name, math.nan), rel_tol=RELATIVE, abs_tol=1e-9)
    ]
    return wrong[:SHOWN] + ([f"… {len(wrong)} of {len(names)} differ"] if len(wrong) > SHOWN else [])


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)
