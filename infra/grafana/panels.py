"""What the dashboards are made of: a few kinds of panel over two data sources."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import barchart, common, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, DynamicConfigValue
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

#: As `datasources.yml` provisions them.
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
CLICKHOUSE = DataSourceRef(type_val="grafana-clickhouse-datasource", uid="clickhouse")

HEIGHT, HALF = 8, 12
#: Rows of a table of leaders.
LEADERS = 25
Panel = timeseries.Panel | stat.Panel | table.Panel | barchart.Panel | heatmap.Panel


def dashboard(
    name: str, title: str, panels: Sequence[Panel], *, since: str = "now-1h", refresh: str = "10s"
) -> Dashboard:
    """The panels, two beside each other, under one title; ``name`` is part of the address."""
    board = (
        Dashboard(f"PinStream · {title}")
        .uid(f"pinstream-{name}")
        .tags(["pinstream"])
        .time(since, "now")
        .timezone("utc")
        .refresh(refresh)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for panel in panels:
        board = board.with_panel(panel)
    return board


def p(quantile: float, histogram: str, by: str = "") -> str:
    """PromQL: a quantile of a histogram, of all workers together, by labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({quantile}, sum by ({labels}) (rate({histogram}_bucket[$__rate_interval])))"


def rate(counter: str, by: str) -> str:
    """PromQL: how fast a counter grows each second, of all workers together, by labels."""
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


class ClickHouseQuery(Builder[Dataquery], Dataquery):
    """A statement for Grafana's ClickHouse plugin. ``$__from`` and ``$__to`` are milliseconds, as our columns are."""

    def __init__(self, sql: str, *, over_time: bool, ref_id: str = "A") -> None:
        self.sql, self.over_time, self.ref_id = textwrap.dedent(sql).strip(), over_time, ref_id

    def build(self) -> ClickHouseQuery:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self.ref_id,
            "datasource": CLICKHOUSE,
            "editorType": "sql",
            "queryType": "timeseries" if self.over_time else "table",
            "format": 0 if self.over_time else 1,
            "rawSql": self.sql,
        }


def lines(title: str, description: str, unit: str, queries: Mapping[str, str], *, stacked: bool = False) -> Panel:
    """Prometheus series over time. ``queries``: legend, with ``{{label}}`` for labels, to PromQL."""
    panel = _over_time(timeseries.Panel(), title, description, unit, stacked).datasource(PROMETHEUS)
    for ref_id, (legend, expression) in zip("ABCDEFGH", queries.items(), strict=False):
        query = prometheus.Dataquery().ref_id(ref_id).expr(expression).legend_format(legend).range()
        panel = panel.with_target(query.datasource(PROMETHEUS))
    return panel


def rows_over_time(title: str, description: str, unit: str, sql: str, *, stacked: bool = False) -> Panel:
    """ClickHouse rows over time: one column is a time, each number is a line."""
    panel = _over_time(timeseries.Panel(), title, description, unit, stacked).datasource(CLICKHOUSE)
    return panel.with_target(ClickHouseQuery(sql, over_time=True))


def number(title: str, description: str, unit: str, expression: str) -> Panel:
    """One number of Prometheus now, with its recent course behind it."""
    query = prometheus.Dataquery().ref_id("A").expr(expression).legend_format(title).range().datasource(PROMETHEUS)
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(PROMETHEUS)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(query)
        .height(4)
        .span(6)
    )


def bars(title: str, description: str, unit: str, sql: str, by: str, *, stacked: bool = False) -> Panel:
    """ClickHouse rows as bars: ``by`` is the column along the axis."""
    return (
        barchart.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(CLICKHOUSE)
        .x_field(by)
        .stacking(StackingMode.NORMAL if stacked else StackingMode.NONE)
        .show_value(VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(_tooltip())
        .with_target(ClickHouseQuery(sql, over_time=False))
        .height(HEIGHT)
        .span(HALF)
    )


def leaders(title: str, description: str, sql: str, decimals: Mapping[str, int]) -> Panel:
    """ClickHouse rows as a table; ``decimals`` of the columns that are numbers."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(CLICKHOUSE)
        .with_target(ClickHouseQuery(sql, over_time=False))
        .height(10)
        .span(HALF)
    )
    for column, places in decimals.items():
        panel = panel.override_by_name(column, [DynamicConfigValue(id_val="decimals", value=places)])
    return panel


def density(title: str, description: str, unit: str, expression: str) -> Panel:
    """A Prometheus histogram over time: how many fell into each bucket."""
    query = (
        prometheus.Dataquery()
        .ref_id("A")
        .expr(expression)
        .legend_format("{{le}}")
        .format(PromQueryFormat.HEATMAP)
        .range()
        .datasource(PROMETHEUS)
    )
    axis: Any = heatmap.YAxisConfig().unit(unit)
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(32))
        .y_axis(axis)
        .show_legend()
        .with_target(query)
        .height(HEIGHT)
        .span(HALF)
    )


def _over_time(panel: timeseries.Panel, title: str, description: str, unit: str, stacked: bool) -> timeseries.Panel:
    panel = panel.title(title).description(description).unit(unit).min(0).legend(_legend()).tooltip(_tooltip())
    if stacked:
        panel = panel.fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    return panel.height(HEIGHT).span(HALF)


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).calcs(["lastNotNull"])
    return legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
