"""Slates, and what each stage lets through."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.units import BytesSI, PercentUnit, Seconds, Short

from infra.grafana.panels import bars, dashboard, lines, p, rate, rows_over_time


def build() -> Dashboard:
    """The dashboard."""
    items = "pinstream_stage_items_total"
    return dashboard(
        "feeds",
        "Feeds and stages",
        [
            lines(
                "Slates",
                "By what they had to do without.",
                Short,
                {"without {{degraded}}": rate("pinstream_slates_total", "degraded")},
                stacked=True,
            ),
            lines(
                "Time",
                "99th percentile of each stage.",
                Seconds,
                {"{{stage}}": p(0.99, "pinstream_stage_seconds", "stage")},
            ),
            lines(
                "Candidates in",
                "Into each stage, per second.",
                Short,
                {"{{stage}}": rate(f'{items}{{direction="in"}}', "stage")},
            ),
            lines(
                "Candidates out",
                "Out of each stage, per second.",
                Short,
                {"{{stage}}": rate(f'{items}{{direction="out"}}', "stage")},
            ),
            rows_over_time(
                "Stored slates",
                "Whole and degraded, in ClickHouse.",
                Short,
                """
                SELECT toStartOfMinute(fromUnixTimestamp64Milli(emitted)) AS minute,
                       countIf(empty(degraded)) AS whole, countIf(notEmpty(degraded)) AS degraded_slates
                FROM slates FINAL WHERE emitted BETWEEN $__from AND $__to GROUP BY minute ORDER BY minute
                """,
                stacked=True,
            ),
            bars(
                "Sources",
                "Where the pins on slates came from.",
                Short,
                """
                SELECT arrayJoin(sources) AS source, count() AS places
                FROM slates FINAL WHERE emitted BETWEEN $__from AND $__to GROUP BY source ORDER BY places DESC, source
                """,
                "source",
            ),
            lines(
                "Shares of sources",
                "Part of the candidates that each source was given.",
                PercentUnit,
                {
                    "{{source}}": f"{rate('pinstream_slate_shares_total', 'source')} / ignoring(source) group_left "
                    "sum(rate(pinstream_slate_shares_total[$__rate_interval]))"
                },
                stacked=True,
            ),
            lines(
                "Exploration",
                "Part of the places that went to pins that too few have seen.",
                PercentUnit,
                {
                    "explored": "sum(rate(pinstream_slate_places_explored_total[$__rate_interval])) / "
                    "sum(rate(pinstream_slate_places_filled_total[$__rate_interval]))"
                },
            ),
            lines(
                "Records of slates",
                "What slates were made from, written to ClickHouse, bytes a second.",
                BytesSI,
                {"bytes": "sum(rate(pinstream_slate_record_bytes_total[$__rate_interval]))"},
            ),
            lines(
                "Pins understood",
                "Detected, encoded and stored, per second.",
                Short,
                {
                    "pins": "sum(rate(pinstream_pins_understood_total[$__rate_interval]))",
                    "objects": "sum(rate(pinstream_objects_total[$__rate_interval]))",
                },
            ),
            lines(
                "Observed over expected",
                "Actions on pins that were looked at, over what the ranker expected of them: 1 is calibrated.",
                Short,
                {
                    "{{action}}": "sum by (action) (increase(pinstream_actions_observed_total[1h]))"
                    " / sum by (action) (increase(pinstream_actions_expected_total[1h]))"
                },
            ),
            rows_over_time(
                "Expected and real saves",
                "Probability of a save that the ranker gave to pins on slates, and saves for each impression.",
                PercentUnit,
                """
                SELECT toStartOfHour(at) AS hour, avgIf(value, what = 'expected') AS expected,
                       avgIf(value, what = 'real') AS real
                FROM (
                    SELECT fromUnixTimestamp64Milli(emitted) AS at, 'expected' AS what,
                           toFloat64(arrayJoin(arrayFilter(p -> notEmpty(p), probabilities))[1]) AS value
                    FROM slates FINAL WHERE emitted BETWEEN $__from AND $__to
                    UNION ALL
                    SELECT toDateTime64(engagement_by_pin.hour * 3600, 3), 'real',
                           sum(saves) / greatest(sum(impressions), 1)
                    FROM engagement_by_pin WHERE hour BETWEEN intDiv($__from, 3600000) AND intDiv($__to, 3600000)
                    GROUP BY hour
                ) GROUP BY hour ORDER BY hour
                """,
            ),
        ],
    )
