"""``pinstream explain``: why a slate is as it is."""

from __future__ import annotations

import json
from typing import Any

import click

from streams.cli.ask import ask
from streams.cli.tables import table


@click.command(name="explain")
@click.argument("slate")
@click.option("--pin", help="Say what became of this pin, with every node of the spec.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
def command(slate: str, pin: str | None, as_json: bool) -> None:
    """Say why SLATE is as it is: sources, drops, features, probabilities, utilities, places and chances.

    Needs a running worker, and the slate's record ([recording] in slates.toml).
    """
    body = ask("slates", slate, "explain", query={"pin": pin})
    if as_json:
        click.echo(json.dumps(body))
        return
    click.echo("\n".join(body["words"]))
    names = ("name", "found", "share", "candidates", "kept", "places", "impressions", "saves")
    click.echo("\n" + table(names, [tuple(each[name] for name in names) for each in body["sources"]]))
    if body["filters"]:
        dropped = [(each["name"], each["why"], len(each["pins"])) for each in body["filters"]]
        click.echo("\n" + table(("filter", "why", "dropped"), dropped))
    click.echo(
        "\n" + table(("place", "pin", "utility", "rank", "propensity", "sources"), list(map(_place, body["places"])))
    )
    if body["pin"]:
        click.echo("\n" + _pin(body["pin"]))


def _place(place: dict[str, Any]) -> tuple[object, ...]:
    sources = ", ".join(place["sources"]) + (" (explored)" if place["explored"] else "")
    return place["place"], place["pin"], place["utility"], place["rank"], place["propensity"], sources


def _pin(told: dict[str, Any]) -> str:
    parts = [f"Pin {told['pin']}: {told['why']}"]
    if told["probabilities"]:
        parts.append("Expected: " + ", ".join(f"{name} {value:.3%}" for name, value in told["probabilities"].items()))
    if told["features"]:
        parts.append(table(("feature", "value"), list(told["features"].items())))
    if told["trace"]:
        rows = [
            (line["name"], line["transform"] or "input", _short(line["value"]), _terms(line["terms"]))
            for line in told["trace"]
        ]
        parts.append(table(("node", "transform", "value", "adds"), rows))
    if loses := [(name, value) for name, value in told["loses"].items() if value]:
        parts.append(table(("without", "utility loses"), loses))
    return "\n\n".join(parts)


def _terms(terms: dict[str, float]) -> str:
    return _short(", ".join(f"{name} {value:+.4g}" for name, value in terms.items()))


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "missing" if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
