"""``pinstream lens``: search with a photo."""

from __future__ import annotations

import json
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import click

from streams.cli.ask import ask
from streams.cli.sheet import Mark, write_sheet
from streams.cli.tables import table
from streams.images.decode import decode_now

SCHEMES = ("http:", "https:", "file:", "data:")


@click.command(name="lens")
@click.argument("image")
@click.option("--box", metavar="L,T,R,B", help="Only this part: fractions of width and height.")
@click.option("--pinner", help="Who asks: words are searched by their taste.")
@click.option("-n", default=25, show_default=True, type=click.IntRange(1, 100), help="Pins.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="Draw the result into this picture.")
def command(image: str, box: str | None, pinner: str | None, n: int, as_json: bool, sheet: Path | None) -> None:
    """Search with the photo IMAGE, a file or an address, and print what was understood and found.

    Needs a running worker.
    """
    if image.startswith(SCHEMES):
        content: bytes | None = None
        edges = None if box is None else _edges(box)
        wish = {"image": image, "box": edges, "pinner": pinner, "n": n}
        body = ask("lens", body=json.dumps(wish).encode(), content_type="application/json")
    else:
        content = _read(image)
        kind = guess_type(image)[0] or ""
        kind = kind if kind.startswith("image/") else "image/jpeg"  # the worker looks at the bytes, not at this
        body = ask("lens", query={"box": box, "pinner": pinner, "n": n}, body=content, content_type=kind)
    if sheet is not None:
        marks = [Mark(one["box"], f"{one['label']} {one['confidence']:.0%}") for one in body["objects"]]
        marks += [Mark(body["box"])] if box else []
        hits = [(hit["pin"], hit["box"], _caption(hit)) for hit in body["hits"]]
        palette = [(one["hex"], one["share"]) for one in body["palette"]]
        write_sheet(sheet, image if content is None else decode_now(content), marks, palette, hits)
    click.echo(json.dumps(body) if as_json else _told(body))


def _read(image: str) -> bytes:
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise click.ClickException(f"{image}: {error.strerror}") from None


def _edges(box: str) -> list[float]:
    try:
        return [float(edge) for edge in box.split(",")]
    except ValueError:
        raise click.BadParameter("must be left,top,right,bottom", param_hint="--box") from None


def _caption(hit: dict[str, Any]) -> str:
    return f"{hit['source']} {hit['similarity']:.2f} {hit['label']}"


def _told(body: dict[str, Any]) -> str:
    objects = [(one["label"], one["confidence"], _box(one["box"])) for one in body["objects"]]
    hits = [
        (place, hit["pin"], hit["source"], hit["similarity"], hit["label"], _box(hit["box"]))
        for place, hit in enumerate(body["hits"], 1)
    ]
    flags = [name for name in ("blurred", "dark") if body[name]]
    lines = [
        table(("object", "confidence", "box"), objects) if objects else "No object was found.",
        "",
        "Colours: " + ", ".join(f"{one['hex']} {one['share']:.0%}" for one in body["palette"]) + ".",
        f"Light {body['light']:.2f}, sharpness {body['sharpness']:.2f}, quality {body['quality']:.2f}"
        + (f" ({', '.join(flags)})." if flags else "."),
        *body["reasons"],
        "",
        table(("place", "pin", "source", "similarity", "label", "box"), hits),
        "",
        ", ".join(f"{stage} {spent:.0f} ms" for stage, spent in body["milliseconds"].items()) + ".",
    ]
    if body["degraded"]:
        lines.append(f"Made without: {', '.join(body['degraded'])}.")
    return "\n".join(lines)


def _box(box: list[float]) -> str:
    return ",".join(f"{edge:.2f}" for edge in box)
