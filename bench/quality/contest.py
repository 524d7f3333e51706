"""A contest: our systems and the baselines over the same data, in one table, as JSON and as a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson

from streams.cli.tables import table
from streams.settings import PROJECT

WIDTH, ROW, LEFT, RIGHT = 720, 24, 260, 90
FONT = 'font-family="sans-serif" font-size="13"'


@dataclass(frozen=True)
class Entry:
    """One system: each metric's value for each seed (one where nothing is random), and what it cost."""

    system: str
    ours: bool
    values: Mapping[str, tuple[float, ...]]
    #: Seconds of learning, where they were measured.
    seconds: float | None = None

    def mean(self, metric: str) -> float:
        """Over the seeds; NaN where it was not measured."""
        return float(np.mean(self.values[metric])) if self.values.get(metric) else float("nan")

    def cell(self, metric: str) -> str:
        """``.1650 ± .0004``; empty where it was not measured."""
        values = self.values.get(metric)
        if not values:
            return ""
        return f"{np.mean(values):.4f}" + (f" ± {np.std(values):.4f}" if len(values) > 1 else "")


@dataclass(frozen=True)
class Contest:
    """Systems beside each other on one split.

    Attributes:
        split: ``validation`` was looked at while choices were made, ``test`` was not; says also over how much data.
        metrics: columns, in order; more is better, but for those of ``ceilings``.
        goals: metric → what the entry named ``champion`` should reach.
        ceilings: metric → what it should not exceed.
        champion: the system that was chosen, on validation, to be judged by the goals.
        notes: what a reader has to know: where we lose, what was chosen how.
    """

    title: str
    split: str
    metrics: Sequence[str]
    entries: Sequence[Entry]
    goals: Mapping[str, float] = field(default_factory=dict[str, float])
    champion: str | None = None
    notes: Sequence[str] = ()
    ceilings: Mapping[str, float] = field(default_factory=dict[str, float])

    def reached(self) -> dict[str, bool]:
        """Metric → whether the champion reaches its goal, or stays below its ceiling."""
        best = next((each for each in self.entries if each.system == self.champion), None)
        met = {metric: best is not None and best.mean(metric) >= goal for metric, goal in self.goals.items()}
        return met | {metric: best is not None and best.mean(metric) <= most for metric, most in self.ceilings.items()}

    def lines(self) -> list[str]:
        """For people: a table with ``*`` before our systems, goals and notes."""
        headings = ("system", *self.metrics, "learning s")
        rows = [
            (("* " if each.ours else "  ") + each.system, *map(each.cell, self.metrics), _seconds(each.seconds))
            for each in self.entries
        ]
        told = [f"{self.title} ({self.split}); * ours", table(headings, rows)]
        for metric, met in self.reached().items():
            told.append(f"goal: {self.champion}, {metric} {self._wanted(metric)}: {'yes' if met else 'NO'}")
        return [*told, *self.notes]

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {
            "title": self.title,
            "split": self.split,
            "champion": self.champion,
            "goals": [
                {"metric": metric, self._side(metric): {**self.goals, **self.ceilings}[metric], "met": met}
                for metric, met in self.reached().items()
            ],
            "systems": [
                {
                    "system": each.system,
                    "ours": each.ours,
                    "seconds": each.seconds,
                    "metrics": {metric: [round(float(one), 5) for one in some] for metric, some in each.values.items()},
                }
                for each in self.entries
            ],
            "notes": list(self.notes),
        }

    def _side(self, metric: str) -> str:
        return "least" if metric in self.goals else "most"

    def _wanted(self, metric: str) -> str:
        return f"≥ {self.goals[metric]:g}" if metric in self.goals else f"≤ {self.ceilings[metric]:g}"

    def chart(self, metric: str) -> str:
        """SVG: a bar a system, ours in colour, the goal as a line."""
        entries = sorted(
            (each for each in self.entries if each.values.get(metric)), key=lambda each: -each.mean(metric)
        )
        goal = self.goals.get(metric)
        top = max([*(each.mean(metric) for each in entries), goal or 0.0, 1e-9])
        height = 48 + ROW * len(entries)
        wide = (WIDTH - LEFT - RIGHT) / top
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT}>',
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            f'<text x="8" y="20" font-weight="bold">{escape(f"{self.title}: {metric} ({self.split})")}</text>',
        ]
        for number, each in enumerate(entries):
            y = 34 + ROW * number
            colour = "#c8102e" if each.ours else "#9aa5b1"
            length = each.mean(metric) * wide
            parts += [
                f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(each.system)}</text>',
                f'<rect x="{LEFT}" y="{y + 2}" width="{length:.1f}" height="{ROW - 8}" fill="{colour}"/>',
                f'<text x="{LEFT + length + 6:.1f}" y="{y + 14}">{each.mean(metric):.4f}</text>',
            ]
        if goal is not None:
            x = LEFT + goal * wide
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="30" y2="{height - 10}" stroke="#333" stroke-dasharray="4 3"/>'
            )
        return "\n".join([*parts, "</svg>", ""])


def options(command: Callable[..., None]) -> Callable[..., None]:
    """What every contest takes: --data, --seeds, --quick, --strict, --out, --json."""
    for add in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table."),
        click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for JSON and pictures."),
        click.option("--strict", is_flag=True, help="Status 1 where a goal is missed."),
        click.option("--quick", is_flag=True, help="A part of the data: minutes, and less exact."),
        click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Seeds of what is random."),
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            default=lambda: Path(os.environ.get("PINSTREAM_DATA") or PROJECT.parent / "shared" / "data"),
            help="Folder of the real data sets. Default: PINSTREAM_DATA, or ../shared/data.",
        ),
    ):
        command = add(command)
    return command


def tell(name: str, contests: Sequence[Contest], as_json: bool, out: Path | None, strict: bool) -> None:
    """Print the contests, write ``<name>.json`` and a picture for each contest's first metric into ``out``."""
    told = orjson.dumps({"contests": [each.told() for each in contests]}, option=orjson.OPT_INDENT_2)
    if as_json:
        click.echo(told)
    else:
        click.echo("\n\n".join("\n".join(each.lines()) for each in contests))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.json").write_bytes(told + b"\n")
        for number, each in enumerate(contests, start=1):
            suffix = f"-{number}" if len(contests) > 1 else ""
            (out / f"{name}{suffix}.svg").write_text(each.chart(each.metrics[0]))
        click.echo(f"written: {out / name}.json and its pictures", err=True)
    if strict and not all(met for each in contests for met in each.reached().values()):
        raise SystemExit(1)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"
