"""What pinners do, and at which hour of the day (UTC)."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.units import PercentUnit, Short

from infra.grafana.panels import LEADERS, bars, dashboard, leaders, rows_over_time

_KINDS = ("impressions", "closeups", "outbound_clicks", "saves", "hides")
_SUMS = ", ".join(f"sum({kind}) AS {kind}" for kind in _KINDS)
_IN_RANGE = "hour BETWEEN intDiv($__from, 3600000) AND intDiv($__to, 3600000)"


def build() -> Dashboard:
    """The dashboard."""
    return dashboard(
        "engagement",
        "Engagement by hour of day",
        [
            bars(
                "By hour of day",
                "All kinds but impressions, UTC.",
                Short,
                f"""
                SELECT toString(hour % 24) AS hour_of_day, {", ".join(f"sum({kind}) AS {kind}" for kind in _KINDS[1:])}
                FROM engagement_by_pin WHERE {_IN_RANGE} GROUP BY hour % 24 ORDER BY hour % 24
                """,
                "hour_of_day",
                stacked=True,
            ),
            bars(
                "Rates by hour of day",
                "Actions for each impression, UTC.",
                PercentUnit,
                f"""
                SELECT toString(hour % 24) AS hour_of_day,
                       sum(closeups) / greatest(sum(impressions), 1) AS closeup_rate,
                       sum(outbound_clicks) / greatest(sum(impressions), 1) AS outbound_click_rate,
                       sum(saves) / greatest(sum(impressions), 1) AS save_rate
                FROM engagement_by_pin WHERE {_IN_RANGE} GROUP BY hour % 24 ORDER BY hour % 24
                """,
                "hour_of_day",
            ),
            rows_over_time(
                "By hour",
                "Everything, by event time.",
                Short,
                f"""
                SELECT toDateTime(engagement_by_pin.hour * 3600) AS at, {_SUMS}
                FROM engagement_by_pin WHERE {_IN_RANGE} GROUP BY at ORDER BY at
                """,
            ),
            rows_over_time(
                "Active pinners",
                "Who did something, and who more than look.",
                Short,
                f"""
                SELECT toDateTime(engagement_by_pinner.hour * 3600) AS at, uniqExact(pinner) AS pinners,
                       uniqExactIf(pinner, closeups + outbound_clicks + saves + hides > 0) AS acting
                FROM engagement_by_pinner WHERE {_IN_RANGE} GROUP BY at ORDER BY at
                """,
            ),
            leaders(
                "Boards saved to most",
                "In the time shown.",
                f"""
                SELECT toString(board) AS board_id, sum(saves) AS saved
                FROM engagement_by_board WHERE {_IN_RANGE} GROUP BY board ORDER BY saved DESC, board LIMIT {LEADERS}
                """,
                {"saved": 0},
            ),
            leaders(
                "Pins saved most",
                "In the time shown.",
                f"""
                SELECT toString(pin) AS pin_id, any(title) AS title, {_SUMS}
                FROM engagement_by_pin LEFT JOIN (SELECT pin, title FROM pins FINAL) AS named USING (pin)
                WHERE {_IN_RANGE} GROUP BY pin ORDER BY saves DESC, pin LIMIT {LEADERS}
                """,
                dict.fromkeys(_KINDS, 0),
            ),
        ],
        since="now-7d",
    )
