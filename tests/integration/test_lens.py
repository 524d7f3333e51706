"""Lens on real parts: a photo finds its own pin, a crop its scene with the box, and a pin what is like it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from streams.cli import lens, objects, shop_the_look, similar
from streams.settings import PROJECT
from tests.integration.running import Worker, until

pytestmark = pytest.mark.real

SAMPLE = PROJECT / "examples" / "sample" / "photos"
#: Photos of the sample in which the detector is sure of a person, and some in which it is not.
PEOPLE = ("302-pants.jpg", "204-t-shirt.jpg")
FIRST = 6_400_000
SECONDS = 60


@pytest.fixture(scope="module")
def pins(worker: Worker) -> dict[int, Path]:
    """Twelve pins of the sample, by reference, searchable."""
    files = [*(SAMPLE / name for name in PEOPLE), *sorted(SAMPLE.glob("*.jpg"))[40:50]]
    pins = dict(enumerate(files, FIRST))
    began = 1_750_000_000_000
    worker.send(
        "pins",
        [
            {
                "type": "created",
                "time": began + pin,
                "pin": pin,
                "pinner": 640,
                "image": f"file:{file.relative_to(PROJECT)}",
            }
            for pin, file in pins.items()
        ],
    )

    def searchable(pin: int) -> bool:
        try:
            return any(hit["pin"] == pin for hit in found(worker, pins[pin].read_bytes(), "?n=100")["hits"])
        except urllib.error.HTTPError:  # a collection that is being made answers a moment later
            return False

    for pin in pins:
        until(f"pin {pin} is searchable", lambda pin=pin: searchable(pin), SECONDS)
    return pins


def found(worker: Worker, photo: bytes, query: str = "", kind: str = "image/jpeg") -> dict[str, Any]:
    request = urllib.request.Request(f"{worker.url}/v1/lens{query}", photo, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def refused(worker: Worker, photo: bytes, query: str = "", kind: str = "image/jpeg") -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        found(worker, photo, query, kind)
    return error.value.code, json.load(error.value)["type"].rpartition(":")[2]


def smaller(file: Path) -> bytes:
    """The same picture as another file: scaled, as PNG."""
    content = BytesIO()
    Image.open(file).convert("RGB").resize((180, 220)).save(content, "PNG")
    return content.getvalue()


def test_a_photo_finds_its_own_pin_and_is_understood(worker: Worker, pins: dict[int, Path]) -> None:
    for pin in (FIRST, FIRST + 5):
        body = found(worker, smaller(pins[pin]), "?n=5", "image/png")
        assert body["hits"][0]["pin"] == pin and body["hits"][0]["similarity"] > 0.8
        assert len({hit["pin"] for hit in body["hits"]}) == len(body["hits"]) <= 5
        assert sum(body["ratios"].values()) == pytest.approx(1) and body["reasons"]
        assert sum(one["share"] for one in body["palette"]) == pytest.approx(1, abs=1e-3)
        assert set(body["models"]) == {"detector", "encoder", "safety"} and set(body["milliseconds"]) >= {
            "decode",
            "understand",
        }
    again = found(worker, smaller(pins[pin]), "?n=5", "image/png")
    assert again["remembered"] and again["hits"] == body["hits"]


def test_a_crop_of_an_object_finds_its_scene_with_the_box(worker: Worker, pins: dict[int, Path]) -> None:
    dots = worker.get(f"/v1/pins/{FIRST}/objects")["objects"]
    person = next(one for one in dots if one["label"] == "person")
    box = ",".join(str(edge) for edge in person["box"])
    body = found(worker, pins[FIRST].read_bytes(), f"?box={box}")
    assert body["box"] == pytest.approx(person["box"])
    mine = [hit for hit in body["hits"] if hit["pin"] == FIRST]
    assert mine and mine[0]["similarity"] > 0.9
    for one in body["objects"]:
        assert person["box"][0] - 1e-6 <= one["box"][0] and one["box"][2] <= person["box"][2] + 1e-6


def test_lens_on_a_pin(worker: Worker, pins: dict[int, Path]) -> None:
    base = f"/v1/pins/{FIRST}"
    dots = worker.get(f"{base}/objects")["objects"]
    number = next(place for place, one in enumerate(dots) if one["label"] == "person")
    for query in ("", f"?object={number}", "?box=" + ",".join(map(str, dots[number]["box"]))):
        scenes = worker.get(f"{base}/similar{query}")["scenes"]
        shown = [scene["pin"] for scene in scenes]
        assert FIRST + 1 in shown and FIRST not in shown and len(set(shown)) == len(shown)
        assert [scene["score"] for scene in scenes] == sorted((one["score"] for one in scenes), reverse=True)
        assert all(scene["best"]["box"][2] > scene["best"]["box"][0] for scene in scenes)
    dot = worker.get(f"{base}/similar-looks?n=20")["dots"][0]
    assert dot["object"]["label"] == "person" and dot["items"]
    assert {one["label"] for one in dot["items"]} == {"person"} and FIRST not in {one["pin"] for one in dot["items"]}
    shop = worker.get(f"{base}/shop-the-look")
    [people] = [each for each in shop["categories"] if each["label"] == "person"]
    assert people["products"] and not shop["degraded"]
    assert {product["found"]["label"] for product in people["products"]} <= {"person", ""}
    assert any(product["colours"] is not None for product in people["products"])


def test_a_deleted_pin_is_not_found(worker: Worker, pins: dict[int, Path]) -> None:
    gone = FIRST + 11
    worker.send("pins", [{"type": "deleted", "time": 1_760_000_000_000, "pin": gone}])

    def hits() -> list[int]:
        return [hit["pin"] for hit in found(worker, pins[gone].read_bytes())["hits"]]

    until("the deleted pin is gone from the answer", lambda: gone not in hits(), 20)


def test_bad_input_is_refused(worker: Worker, pins: dict[int, Path]) -> None:
    photo = pins[FIRST].read_bytes()
    assert refused(worker, b"no picture") == (422, "invalid-image")
    assert refused(worker, photo[:2000]) == (422, "invalid-image")
    assert refused(worker, photo, "?box=0.9,0,0.1,1") == (400, "invalid-box")
    assert refused(worker, photo, "?box=5,5,9,9") == (400, "invalid-box")
    assert refused(worker, photo, kind="text/plain") == (415, "media-type")
    tiny = BytesIO()
    Image.new("RGB", (1, 1)).save(tiny, "PNG")
    assert found(worker, tiny.getvalue(), kind="image/png")["objects"] == []
    with pytest.raises(urllib.error.HTTPError, match="404"):
        worker.get(f"/v1/pins/{FIRST}/similar?object=7")


def test_the_command_line_and_its_sheets(
    worker: Worker, pins: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINSTREAM_PORT_API", str(worker.ports["api"]))
    out = tmp_path / "lens.png"
    told = CliRunner().invoke(lens.command, [str(pins[FIRST]), "--sheet", str(out), "-n", "7"])
    assert told.exit_code == 0, told.output
    assert str(FIRST) in told.output and "person" in told.output and "Colours:" in told.output
    assert Image.open(out).width > 1000
    reference = f"file:{pins[FIRST].relative_to(PROJECT)}"
    told = CliRunner().invoke(lens.command, [reference, "--box", "0,0,1,0.5", "--json", "--pinner", "31"])
    assert told.exit_code == 0 and json.loads(told.output)["box"] == [0, 0, 1, 0.5], told.output
    told = CliRunner().invoke(lens.command, [str(pins[FIRST]), "--box", "1,0,0,1"])
    assert told.exit_code == 1 and "upside down" in told.output
    sheets = {name: ["--sheet", str(tmp_path / name)] for name in ("s.png", "p.png")}
    for command, said, more in (
        (objects.command, "person", []),
        (similar.command, "similarity", sheets["s.png"]),
        (shop_the_look.command, "person", sheets["p.png"]),
    ):
        told = CliRunner().invoke(command, [str(FIRST), *more])
        assert told.exit_code == 0 and said in told.output, told.output
    assert (tmp_path / "s.png").exists() and (tmp_path / "p.png").exists()
