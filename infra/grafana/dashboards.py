"""Grafana's dashboards, as code: ``python -m infra.grafana.dashboards`` writes them to ``dashboards/*.json``."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from infra.grafana import engagement, events, feeds, freshness, ladder, parts, quality

FOLDER = Path(__file__).with_name("dashboards")
DASHBOARDS = {
    "events": events.build,
    "freshness": freshness.build,
    "engagement": engagement.build,
    "quality": quality.build,
    "feeds": feeds.build,
    "parts": parts.build,
    "ladder": ladder.build,
}


def text(name: str) -> str:
    """A dashboard's JSON as it is committed."""
    return json.dumps(DASHBOARDS[name]().build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for board_name in DASHBOARDS:
        (FOLDER / f"{board_name}.json").write_text(text(board_name))
