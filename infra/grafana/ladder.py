"""The ladder of degradation: which parts answer, what feeds go without, and what waits."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.units import Short

from infra.grafana.panels import dashboard, lines, number, rate


def build() -> Dashboard:
    """The dashboard."""
    return dashboard(
        "ladder",
        "Degradation",
        [
            number(
                "Parts that answer",
                "Of four, where the fewest do.",
                Short,
                "min(sum by (instance) (pinstream_part_up))",
            ),
            number(
                "Open circuits",
                "Parts that feeds do without now.",
                Short,
                "sum(max by (part) (pinstream_circuit_open))",
            ),
            number("Rows that wait", "For ClickHouse, in memory.", Short, 'sum(pinstream_waiting{queue="engagement"})'),
            number(
                "Partitions that stand still",
                "Before a batch that cannot be read.",
                Short,
                "sum(pinstream_corrupt_partitions)",
            ),
            lines("Rung", "Workers on each rung.", Short, {"{{rung}}": "sum by (rung) (pinstream_rung)"}, stacked=True),
            lines(
                "Parts", "1 where every worker is answered.", Short, {"{{part}}": "min by (part) (pinstream_part_up)"}
            ),
            lines(
                "Circuits",
                "1 where feeds do without the part, as it failed or was too slow.",
                Short,
                {"{{part}}": "max by (part) (pinstream_circuit_open)"},
            ),
            lines(
                "Failures",
                "Calls that a part failed, per second.",
                Short,
                {"{{part}}": rate("pinstream_store_errors_total", "part")},
            ),
            lines(
                "Pins without a safety score",
                "Pins that nobody has judged, as the model did not answer: those that wait, and new ones per second.",
                Short,
                {
                    "waiting": "sum(pinstream_pins_to_judge)",
                    "new": "sum(rate(pinstream_pins_unscored_total[$__rate_interval]))",
                },
            ),
            lines(
                "Waiting",
                "Rows and slates in memory; pins for a PinSage vector.",
                Short,
                {"{{queue}}": "sum by (queue) (pinstream_waiting)", "pinsage": "sum(pinstream_pins_to_convolve)"},
            ),
            lines(
                "Slates that could not be built",
                "Per second; 0 is right.",
                Short,
                {"failed": "sum(rate(pinstream_slates_failed_total[$__rate_interval]))"},
            ),
        ],
    )
