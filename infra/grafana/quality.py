"""Who and what does best; the formulas are in docs/quality.md."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.units import Short

from infra.grafana.panels import LEADERS, bars, dashboard, leaders
from streams.quality_sql import quality_sql

#: Newest event time, milliseconds: quality as of now in the stream, also when old data is replayed.
STREAM_TIME = "(SELECT max(time) FROM engagement)"


def build() -> Dashboard:
    """The dashboard."""
    pins, pinners, domains = (
        quality_sql(entity).replace("{now:Int64}", STREAM_TIME) for entity in ("pins", "pinners", "domains")
    )
    return dashboard(
        "quality",
        "Quality leaders",
        [
            leaders(
                "Pins",
                "Log lift over the average, position-debiased, shrunk to the prior, decayed.",
                f"""
                SELECT toString(pin) AS pin_id, title, quality, followers, wider, exposure
                FROM ({pins}) AS scored LEFT JOIN (SELECT pin, title FROM pins FINAL) AS named USING (pin)
                ORDER BY quality DESC, pin LIMIT {LEADERS}
                """,
                {"quality": 3, "followers": 3, "wider": 3, "exposure": 1},
            ),
            leaders(
                "Pinners",
                "Quality of what they post, engagement received, engagement given.",
                f"""
                SELECT toString(pinner) AS pinner_id, quality, posts, received, given
                FROM ({pinners}) ORDER BY quality DESC, pinner LIMIT {LEADERS}
                """,
                {"quality": 3, "posts": 3, "received": 3, "given": 3},
            ),
            leaders(
                "Domains",
                "How well a domain's images perform.",
                f"""
                SELECT name, quality, exposure
                FROM ({domains}) AS scored
                LEFT JOIN (SELECT domain_id, any(pins.domain) AS name FROM pins GROUP BY domain_id) AS named
                ON scored.domain = named.domain_id
                ORDER BY quality DESC, domain LIMIT {LEADERS}
                """,
                {"quality": 3, "exposure": 1},
            ),
            bars(
                "How pins' quality spreads",
                "Pins by quality, in steps of a quarter.",
                Short,
                f"""
                SELECT toString(floor(quality * 4) / 4) AS from_quality, count() AS pins
                FROM ({pins}) GROUP BY floor(quality * 4) ORDER BY floor(quality * 4)
                """,
                "from_quality",
            ),
        ],
        since="now-7d",
        refresh="5m",
    )
