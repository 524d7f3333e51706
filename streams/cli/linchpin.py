"""``pinstream linchpin``: specs of features and models, looked at without a running engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import click

from operators.linchpin.errors import RunError, SpecError
from operators.linchpin.explain import Explanation
from operators.linchpin.explain import explain as explained
from operators.linchpin.graph import Graph
from operators.linchpin.parameters import described
from operators.linchpin.program import Program
from operators.linchpin.transform import REGISTRY, Transform
from streams.cli.models_asking import as_json_option
from streams.cli.tables import table
from streams.settings import Settings
from streams.slate_spec import import_transforms, load, ranker_names, read_graph

FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
OUTPUT = click.option(
    "--output", "outputs", multiple=True, help="Only this output; may be given again.  [default: all]"
)


@click.group("linchpin")
def command() -> None:
    """Check, explain and draw specs of features and models. Every command here takes --json.

    docs/linchpin.md has the language. Slates are made with streams/feed.linchpin, or with the file that PINSTREAM_SPEC
    names; transforms of your own are imported from the modules in PINSTREAM_TRANSFORMS.
    """


@command.command("check")
@FILE
@click.option("--slates", is_flag=True, help="Status 1 also when slates cannot be made with it.")
@as_json_option
def check(file: Path, slates: bool, as_json: bool) -> None:
    """Read FILE and tell every fault with its line and column: status 1 if there is one.

    Also tells whether slates can be made with it: whether it has their outputs, takes only what they have, and has the
    features that the ranker was trained with.
    """
    graph = _graph(file, as_json)
    settings, refused = Settings.load(), ""
    try:
        load(file, transforms=settings.transforms, ranker=ranker_names(settings.model_repository))
    except SpecError as wrong:
        refused = str(wrong)
    if as_json:
        told = {"ok": True, "faults": [], "version": graph.version, "outputs": _outputs(graph)}
        click.echo(json.dumps(told | {"pruned": _pruned(graph, graph.pruned()), "slates": refused or None}))
    else:
        outputs = ", ".join(f"{name}: {shape}" for name, shape in _outputs(graph).items())
        click.echo(f"{file}: version {graph.version}, {len(graph.inputs)} inputs, {len(graph.steps)} nodes → {outputs}")
        if pruned := _pruned(graph, graph.pruned()):
            click.echo(f"Not needed by any output: {', '.join(pruned)}")
        click.echo(f"Slates cannot be made with it:\n{refused}" if refused else "Slates can be made with it.")
    if slates and refused:
        raise SystemExit(1)


@command.command("graph")
@FILE
@OUTPUT
@as_json_option
def graph(file: Path, outputs: tuple[str, ...], as_json: bool) -> None:
    """Show what is computed from what, in order, and what is left out because no output needs it."""
    whole = _graph(file, as_json)
    part = _part(whole, outputs)
    pruned, shapes = _pruned(whole, part), part.shapes
    if as_json:
        nodes = [
            {"name": each.name, "transform": each.transform.name, "inputs": each.inputs, "kind": str(each.shape)}
            for each in part.steps
        ]
        inputs = {name: str(shape) for name, shape in part.inputs.items()}
        click.echo(json.dumps({"inputs": inputs, "nodes": nodes, "outputs": _outputs(part), "pruned": pruned}))
        return
    rows = [(name, "input", "", str(shape)) for name, shape in part.inputs.items()]
    rows += [(each.name, each.transform.name, _short(", ".join(each.inputs)), str(each.shape)) for each in part.steps]
    click.echo(table(("name", "transform", "of", "kind"), rows))
    for name in part.outputs:
        click.echo(
            f"\noutput {name}: {shapes[name]}" + (f" of {', '.join(part.labels(name))}" if shapes[name].labels else "")
        )
    if pruned:
        click.echo(f"\nLeft out, as no output needs it: {', '.join(pruned)}")


@command.command("explain")
@FILE
@click.option("--row", required=True, help="The inputs as one JSON object; what it leaves out is missing.")
@OUTPUT
@as_json_option
def explain(file: Path, row: str, outputs: tuple[str, ...], as_json: bool) -> None:
    """Show what every node is for one row, and what each input does to every output that is a number.

    That is what the output loses when the input is missing (or 0, where the output would be missing then).
    """
    part = _part(_graph(file, as_json), outputs)
    try:
        given = json.loads(row)
        if not isinstance(given, dict):
            raise ValueError("a row is an object")
    except ValueError as wrong:
        raise click.BadParameter(f"not a JSON object such as {_example(part)}: {wrong}", param_hint="--row") from wrong
    names = [str(name) for name in given]
    if unknown := [name for name in names if name not in part.inputs]:
        raise click.BadParameter(f"no inputs of these outputs: {', '.join(unknown)}", param_hint="--row")
    try:
        told = explained(Program(part), given)
    except RunError as wrong:
        raise click.BadParameter(str(wrong), param_hint="--row") from wrong
    click.echo(json.dumps(_json(told)) if as_json else _text(told))


@command.command("transforms")
@as_json_option
def transforms(as_json: bool) -> None:
    """List every transform: what it takes, what it gives, and what becomes of what is missing."""
    try:
        import_transforms(Settings.load().transforms)
    except ImportError as wrong:
        raise click.ClickException(str(wrong)) from wrong
    words = [REGISTRY[name] for name in sorted(REGISTRY)]
    if as_json:
        click.echo(json.dumps({"transforms": [_described(each) for each in words]}))
        return
    for each in words:
        click.echo(f"{signature(each)}\n    {each.doc}".replace("\n", "\n    ").replace("\n        ", "\n    "))


def signature(word: Transform) -> str:
    """``Log1p(x: float | vector){unit=1.0} → the same, missing kept``."""
    inputs = ", ".join(map(str, word.inputs)) + (", …" if word.variadic else "")
    options = ", ".join(
        f"{each.name}: {described(each.type)}" if each.default is ... else f"{each.name}={_default(each.default)}"
        for each in word.options.values()
    )
    gives = word.gives.value if word.gives else "the same"
    return f"{word.name}({inputs})" + (f"{{{options}}}" if options else "") + f" → {gives}, missing {word.missing}"


def _graph(file: Path, as_json: bool) -> Graph:
    try:
        return read_graph(file, transforms=Settings.load().transforms)
    except SpecError as wrong:
        _refuse(file, wrong, as_json)
    except (OSError, ImportError) as wrong:
        raise click.ClickException(str(wrong)) from wrong


def _refuse(file: Path, wrong: SpecError, as_json: bool) -> NoReturn:
    if as_json:
        faults = [{"line": each.at.line, "column": each.at.column, "message": each.message} for each in wrong.faults]
        click.echo(json.dumps({"ok": False, "faults": faults}))
    else:
        for each in wrong.faults:
            click.echo(f"{file}:{each}", err=True)
    raise SystemExit(1)


def _part(whole: Graph, outputs: tuple[str, ...]) -> Graph:
    try:
        return whole.pruned(outputs or None)
    except KeyError as wrong:
        raise click.BadParameter(str(wrong.args[0]), param_hint="--output") from wrong


def _pruned(whole: Graph, part: Graph) -> list[str]:
    kept = part.shapes
    return [name for name in whole.shapes if name not in kept]


def _outputs(graph: Graph) -> dict[str, str]:
    return {name: str(graph.shapes[name]) for name in graph.outputs}


def _example(graph: Graph) -> str:
    return json.dumps(dict.fromkeys(list(graph.inputs)[:2], 0.5))


def _json(told: Explanation) -> dict[str, Any]:
    lines = [
        {
            "name": each.name,
            "transform": each.transform,
            "inputs": each.inputs,
            "value": each.value,
            "terms": each.terms,
        }
        for each in told.lines
    ]
    return {"lines": lines, "outputs": told.outputs, "contributions": told.contributions}


def _text(told: Explanation) -> str:
    rows = [
        (each.name, each.transform or "input", _shown(each.value), _short(_terms(each.terms))) for each in told.lines
    ]
    parts = [table(("name", "transform", "value", "adds"), rows)]
    for name, found in told.contributions.items():
        changes = [(each, f"{value:+.6g}") for each, value in found.items() if value]
        parts.append(f"{name} = {_shown(told.outputs[name])}, and would lose without:")
        parts.append(table(("input", "loses"), changes) if changes else "nothing")
    return "\n\n".join(parts)


def _terms(terms: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:+.4g}" for name, value in terms.items())


def _shown(value: object) -> str:
    if isinstance(value, list):
        return _short(" ".join(_shown(each) for each in value))
    return "missing" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _default(value: object) -> str:
    if value is None or value != value:
        return "missing"
    if value in (float("inf"), float("-inf")):
        return "none"
    return json.dumps(list(value)) if isinstance(value, tuple) else json.dumps(value)


def _described(word: Transform) -> dict[str, Any]:
    options = [
        {"name": each.name, "type": described(each.type), "needed": each.default is ...}
        for each in word.options.values()
    ]
    return {
        "name": word.name,
        "signature": signature(word),
        "about": word.doc,
        "inputs": [str(each) for each in word.inputs],
        "variadic": word.variadic,
        "parameters": options,
        "gives": word.gives or "the same",
        "missing": word.missing,
    }
