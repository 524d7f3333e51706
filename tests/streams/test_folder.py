"""Folders and files as pin events: one id a picture, titles, addresses, and what cannot be read."""

from __future__ import annotations

import json
import os
from pathlib import Path

from streams.images.fetch import ImageFetcher
from streams.settings import Settings
from streams.traffic.folder import Found, Unread, inline, lines, pictures, reference, title


def written(folder: Path, **contents: bytes) -> Path:
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_jpg", ".jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_a_picture_is_its_bytes_wherever_it_lies(tmp_path: Path) -> None:
    folder = written(tmp_path, a_jpg=b"one", deep__b_jpg=b"two", deep__copy_jpg=b"one")
    (folder / ".hidden.jpg").write_bytes(b"x")
    (folder / "notes.txt").write_bytes(b"x")
    first = list(pictures(folder, board="mine"))
    assert [Path(one.source).name for one in first] == ["a.jpg", "b.jpg", "copy.jpg"]
    pins = [one.pin for one in first if isinstance(one, Found)]
    assert pins[0] == pins[2] != pins[1]
    moved = folder.rename(tmp_path.with_name("moved"))
    assert [one.pin for one in pictures(moved) if isinstance(one, Found)] == pins
    assert all(one.event["board"] == "mine" and "time" not in one.event for one in first if isinstance(one, Found))


def test_what_cannot_be_read_is_told_and_harms_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path, a_jpg=b"one", z_jpg=b"two")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    found = list(pictures(folder))
    assert [(Path(one.source).name, type(one)) for one in found] == [
        ("a.jpg", Found), ("gone.jpg", Unread), ("pipe.jpg", Unread), ("z.jpg", Found)
    ]  # fmt: skip


async def test_addresses_are_read_back_by_the_fetcher(tmp_path: Path) -> None:
    settings = Settings(image_folders=str(tmp_path))
    for name in ("plain.jpg", "sommer füße #1 %41?.jpg", os.fsdecode(b"latin-\xe4.jpg")):
        path = tmp_path / name
        path.write_bytes(name.encode(errors="surrogateescape"))
        if "latin" in name:
            title(path).encode()  # can be sent
            continue
        async with ImageFetcher(settings) as fetcher:
            assert await fetcher.fetch(reference(path)) == path.read_bytes()
            assert await fetcher.fetch(inline(path)) == path.read_bytes()


def test_titles_are_words() -> None:
    assert title(Path("/x/red-summer_dress.final.jpg")) == "red summer dress.final"
    assert len(title(Path("a" * 250 + ".jpg"))) == 200


def test_lines_are_pins_and_bad_ones_are_told(tmp_path: Path) -> None:
    file = tmp_path / "pins.jsonl"
    rows = [
        {"pin": 17, "title": "A hat", "image": "photos/hat.jpg"},
        {"topic": "pins", "key": 18, "event": {"pin": 18, "time": 5, "image": "https://x.org/a.jpg"}},
        {"topic": "saves", "key": 18, "event": {"pinner": 18}},
        {"title": "no id"},
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\nnot json\n")
    found = list(lines(file, board="b"))
    assert [type(one) for one in found] == [Found, Found, Unread, Unread, Unread]
    first, second = found[:2]
    assert isinstance(first, Found) and isinstance(second, Found)
    assert first.event["image"] == reference(tmp_path / "photos" / "hat.jpg") and first.event["board"] == "b"
    assert (second.pin, second.event["time"], second.event["image"]) == (18, 5, "https://x.org/a.jpg")
    assert next(iter(first.event)) == "pin"  # where dead letters are looked up by it
    assert found[-1].source.endswith("line 6")
