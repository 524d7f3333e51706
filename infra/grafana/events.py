"""What comes in, how far behind we are, and what goes wrong."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.units import Seconds, Short

from infra.grafana.panels import dashboard, lines, number, p, rate, rows_over_time


def build() -> Dashboard:
    """The dashboard."""
    return dashboard(
        "events",
        "Events and lag",
        [
            number(
                "Events per second",
                "Read from all topics.",
                Short,
                "sum(rate(pinstream_events_total[$__rate_interval]))",
            ),
            number("Lag of all topics", "Events still to be read, on all workers.", Short, "sum(pinstream_lag_events)"),
            number(
                "Dead letters in the last hour",
                "Records that could not be used.",
                Short,
                'sum(increase(pinstream_events_total{outcome="rejected"}[1h]))',
            ),
            number("Workers", "Workers that answer.", Short, 'sum(up{job="pinstream"})'),
            lines("Events", "By topic.", Short, {"{{topic}}": rate("pinstream_events_total", "topic")}, stacked=True),
            lines("Outcome", "What became of them.", Short, {"{{outcome}}": rate("pinstream_events_total", "outcome")}),
            lines("Lag", "Events still to be read.", Short, {"{{topic}}": "sum by (topic) (pinstream_lag_events)"}),
            lines(
                "Time of a batch's steps",
                "99th percentile.",
                Seconds,
                {"{{topic}} {{step}}": p(0.99, "pinstream_batch_seconds", "topic, step")},
            ),
            lines(
                "Dead letters",
                "By reason; docs/events.md explains each.",
                Short,
                {"{{reason}}": rate("pinstream_dead_letters_total", "reason")},
            ),
            lines(
                "Warnings",
                "Events used although something was odd.",
                Short,
                {"{{reason}}": rate("pinstream_warnings_total", "reason")},
            ),
            lines(
                "Failed calls",
                "Calls that an outside part failed.",
                Short,
                {"{{part}}": rate("pinstream_store_errors_total", "part")},
            ),
            rows_over_time(
                "Stored",
                "Rows in ClickHouse by the time Kafka received them.",
                Short,
                """
                SELECT toStartOfMinute(fromUnixTimestamp64Milli(logged)) AS minute,
                       countIf(kind = 1) AS impressions, countIf(kind = 2) AS closeups,
                       countIf(kind = 3) AS outbound_clicks, countIf(kind = 4) AS saves, countIf(kind = 5) AS hides
                FROM engagement WHERE logged BETWEEN $__from AND $__to GROUP BY minute ORDER BY minute
                """,
                stacked=True,
            ),
        ],
    )
