"""What a bench run found, as a table, as JSON and as a chart."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from bench.peers.running import Run
from bench.peers.variants import Variant
from streams.cli.tables import table

WIDTH, ROW, LABEL, FIGURE = 860, 22, 230, 90
FONT = 'font-family="sans-serif" font-size="12"'


@dataclass
class Result:
    """A variant and its runs; ``failure`` says why there are none, or why they ended."""

    variant: Variant
    events: int
    runs: list[Run] = field(default_factory=list)
    failure: str = ""

    @property
    def rate(self) -> float:
        """Median events/s; 0 without a run."""
        return statistics.median(run.events_per_second for run in self.runs) if self.runs else 0.0

    @property
    def rss_mib(self) -> float:
        return statistics.median(run.rss_mib for run in self.runs) if self.runs else 0.0

    @property
    def cpu_us(self) -> float:
        """Median processor time of one event, microseconds: what the machine's other work disturbs least."""
        return statistics.median(1e6 * run.cpu / self.events for run in self.runs) if self.runs else 0.0

    @property
    def verdict(self) -> str:
        """``exact``, ``events`` where only their number is checked, ``WRONG``, or what went wrong."""
        if not all(run.right for run in self.runs):
            return "WRONG"
        if self.failure:
            return self.failure
        return "exact" if self.variant.checked == "counts" else "events"


def ours(results: list[Result]) -> float:
    """The rate that all are compared with: our one worker's, 0 when it did not run."""
    return next((one.rate for one in results if one.variant.engine == "ours" and one.variant.workers == 1), 0.0)


def speed_up(results: list[Result]) -> str:
    """What a second worker of ours brings; empty unless it ran."""
    rates = {one.variant.name: one.rate for one in results if one.variant.engine == "ours" and one.runs}
    two = rates.pop("two workers", 0.0)
    if not two or not rates:
        return ""
    return "two workers of ours: " + "; ".join(f"{two / rate:.2f} × {name}" for name, rate in rates.items())


def text(results: list[Result]) -> str:
    """The table for people, and what a second worker brings."""
    mine = ours(results)
    rows = [
        (
            one.variant.engine,
            one.variant.name,
            f"{one.rate:,.0f}" if one.runs else "-",
            f"{one.rss_mib:,.0f}" if one.runs else "-",
            f"{one.cpu_us:.2f}" if one.runs else "-",
            f"{one.rate / mine:.3f}" if one.runs and mine else "-",
            f"{one.events:,}",
            one.variant.timed_from,
            one.verdict[:100],
        )
        for one in results
    ]
    shown = table(
        ("engine", "variant", "events/s", "RSS MiB", "CPU µs/event", "to ours", "events", "timed from", "counts"), rows
    )
    return "\n".join(filter(None, (shown, speed_up(results))))


def document(results: list[Result], about: dict[str, Any]) -> dict[str, Any]:
    """Everything, for programs. ``about``: machine, versions, data."""
    mine = ours(results)
    figures = [
        {
            **asdict(one.variant),
            "events": one.events,
            "events_per_second": round(one.rate),
            "rss_mib": round(one.rss_mib),
            "cpu_us_an_event": round(one.cpu_us, 3),
            "ratio_to_ours": round(one.rate / mine, 4) if mine else None,
            "counts": one.verdict,
            "failure": one.failure,
            "runs": [asdict(run) for run in one.runs],
        }
        for one in results
    ]
    return {**about, "figures": figures}


def chart(results: list[Result], title: str) -> str:
    """Bars of events/s as SVG, fastest first; ours stand out, what counts nothing is pale."""
    shown = sorted((one for one in results if one.runs), key=lambda one: -one.rate)
    most = max((one.rate for one in shown), default=1.0)
    height = ROW * (len(shown) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="{ROW * 0.75:.0f}" font-weight="bold">{escape(title)}</text>',
    ]
    for row, one in enumerate(shown, start=1):
        top, length = ROW * row + 4, (WIDTH - LABEL - FIGURE) * one.rate / most
        colour = (
            "#c0392b" if one.variant.engine == "ours" else "#7f8c9b" if one.variant.checked == "counts" else "#cfd6dd"
        )
        name = f"{one.variant.engine}, {one.variant.name}"
        wrong = "" if one.verdict != "WRONG" else " WRONG"
        parts += [
            f'<text x="{LABEL - 8}" y="{top + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="{ROW - 7}" fill="{colour}"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{top + 12}">{one.rate:,.0f}{wrong}</text>',
        ]
    parts.append(
        f'<text x="8" y="{height - 8}" fill="#666">events/s, median; pale bars fetch or decode and count nothing</text>'
    )
    return "\n".join([*parts, "</svg>", ""])
