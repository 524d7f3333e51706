"""From an event reaching Kafka to the slate that it triggered."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.units import Milliseconds, PercentUnit, Seconds, Short

from infra.grafana.panels import dashboard, density, lines, number, p, rows_over_time


def build() -> Dashboard:
    """The dashboard."""
    name = "pinstream_freshness_seconds"
    return dashboard(
        "freshness",
        "Freshness",
        [
            number("p99", "99th percentile; promised below 1 s.", Seconds, p(0.99, name)),
            number("Median", "Half of the slates are faster.", Seconds, p(0.5, name)),
            number(
                "Within 250 ms",
                "Share of slates; 99 % is the promise at 2,000 events a second.",
                PercentUnit,
                f'sum(rate({name}_bucket{{le="0.25"}}[$__rate_interval])) / sum(rate({name}_count[$__rate_interval]))',
            ),
            number(
                "Within a second",
                "Share of slates.",
                PercentUnit,
                f'sum(rate({name}_bucket{{le="1.0"}}[$__rate_interval])) / sum(rate({name}_count[$__rate_interval]))',
            ),
            number("Slates per second", "Of all workers.", Short, f"sum(rate({name}_count[$__rate_interval]))"),
            lines(
                "Freshness",
                "From the trigger reaching Kafka to its slate.",
                Seconds,
                {f"p{int(q * 100)}": p(q, name) for q in (0.5, 0.9, 0.99)},
            ),
            density(
                "How they spread",
                "Slates by freshness.",
                Seconds,
                f"sum by (le) (increase({name}_bucket[$__rate_interval]))",
            ),
            rows_over_time(
                "Freshness of stored slates",
                "The same from the rows in ClickHouse.",
                Milliseconds,
                """
                SELECT toStartOfMinute(fromUnixTimestamp64Milli(emitted)) AS minute,
                       quantile(0.5)(emitted - trigger_logged) AS p50, quantile(0.99)(emitted - trigger_logged) AS p99
                FROM slates FINAL WHERE emitted BETWEEN $__from AND $__to GROUP BY minute ORDER BY minute
                """,
            ),
            lines(
                "Where the time goes",
                "99th percentile of each stage of a slate.",
                Seconds,
                {"{{stage}}": p(0.99, "pinstream_stage_seconds", "stage")},
            ),
        ],
    )
