"""``pinstream index`` on real parts: pictures become pins, bad ones are told, and a second time changes nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streams.cli.index import command
from streams.settings import PROJECT
from streams.traffic.folder import Found, pictures
from tests.integration.running import Worker

pytestmark = pytest.mark.real
PHOTOS = PROJECT / "examples" / "sample" / "photos"


@pytest.fixture
def here(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """The command asks this session's worker, Kafka and ClickHouse."""
    monkeypatch.setenv("PINSTREAM_HOME", str(worker.settings.home))
    monkeypatch.setenv("PINSTREAM_PORT_BASE", str(worker.settings.port_base))
    monkeypatch.setenv("PINSTREAM_PORT_API", str(worker.ports["api"]))
    monkeypatch.setenv("PINSTREAM_GROUP", worker.settings.group)
    return worker


def index(*arguments: str, status: int = 0) -> dict[str, Any]:
    told = CliRunner().invoke(command, [*arguments, "--json"])
    assert told.exit_code == status, told.output
    return json.loads(told.stdout.splitlines()[-1])


def events(worker: Worker) -> int:
    return int(worker.query("SELECT sum(version) AS n FROM pins FINAL")["n"][0])


def test_a_folder_becomes_pins_and_twice_is_once(here: Worker, tmp_path: Path) -> None:
    names = ("001-hat.jpg", "002-shorts.jpg", "003-skirt.jpg")
    for name in names:
        shutil.copy(PHOTOS / name, tmp_path)
    shutil.copy(PHOTOS / names[0], tmp_path / "the-same-again.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no")
    (tmp_path / "text.png").write_text("not a picture")
    first = index(str(tmp_path), "--inline", "--board", "mine", status=1)
    assert (first["found"], first["twice"], first["understood"], first["failed"]) == (5, 1, 3, 2), first
    reasons = {Path(one["source"]).name: one["reason"] for one in first["failures"]}
    assert set(reasons) == {"broken.jpg", "text.png"} and all(why.startswith("image_") for why in reasons.values())
    pins = {Path(one.source).name: one.pin for one in pictures(tmp_path) if isinstance(one, Found)}
    told = here.get(f"/v1/pins/{pins['002-shorts.jpg']}")
    assert told["understood"] and told["title"] == "002 shorts" and told["image"] == "inline"
    for name in ("broken.jpg", "text.png"):
        (tmp_path / name).unlink()
    before = events(here)
    second = index(str(tmp_path), "--inline", "--board", "mine")
    assert (second["already"], second["sent"], second["failed"]) == (3, 0, 0), second
    assert events(here) == before


def test_a_folder_that_the_engine_may_not_read_is_refused(
    here: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(PHOTOS / "002-shorts.jpg", tmp_path / "private.jpg")
    told = CliRunner().invoke(command, [str(tmp_path)])
    assert told.exit_code == 1 and "PINSTREAM_IMAGE_FOLDERS=examples:" in told.output and "--inline" in told.output
    # The command may be told so, the worker was not: it refuses, and the command says so.
    (tmp_path / "private.jpg").write_bytes((PHOTOS / "003-skirt.jpg").read_bytes() + b"\n")
    monkeypatch.setenv("PINSTREAM_IMAGE_FOLDERS", str(tmp_path))
    refused = index(str(tmp_path), status=1)
    assert {one["reason"] for one in refused["failures"]} == {"image_forbidden_path"}, refused


def test_lines_by_reference_and_one_bad_event(here: Worker, tmp_path: Path) -> None:
    file = tmp_path / "pins.jsonl"
    rows = [
        {"pin": 6_700_001, "title": "A hat", "image": f"file:{(PHOTOS / '001-hat.jpg').relative_to(PROJECT)}"},
        {"pin": 6_700_002, "title": ["no text"], "image": "file:examples/sample/photos/002-shorts.jpg"},
        {"pin": 6_700_003, "image": "http://127.0.0.1:9/x.jpg"},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    told = index(str(file), status=1)
    assert (told["found"], told["sent"], told["understood"]) == (3, 2, 1), told
    reasons = {one["source"].rpartition(" ")[2]: one["reason"] for one in told["failures"]}
    assert reasons == {"2": "wrong_type", "3": "image_private_address"}


def test_no_worker_is_told_with_the_fix(here: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(PHOTOS / "001-hat.jpg", tmp_path / "other.jpg")
    (tmp_path / "other.jpg").write_bytes((tmp_path / "other.jpg").read_bytes() + b"\n\n")
    monkeypatch.setenv("PINSTREAM_PORT_API", "1")
    told = CliRunner().invoke(command, [str(tmp_path), "--inline"])
    assert told.exit_code == 1 and "pinstream worker" in told.output
