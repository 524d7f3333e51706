"""`pinstream evaluate vision`: figures stand to their goals, and what cannot be measured is skipped aloud."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench.quality import detection, embedding, vision
from bench.quality.figure import Figure, Given
from bench.quality.weak_labels import _cut, _jittered
from infra.models_environment import ENVIRONMENT
from streams.settings import PROJECT, Settings
from tests.infra.test_detector_version import EXPORT
from training.detector_boxes import part as part_of


@pytest.mark.parametrize(
    ("values", "least", "most", "met", "goal"),
    [
        ((0.95,), 0.92, None, True, "≥ 0.92"),
        ((0.90, 0.93), 0.92, None, False, "≥ 0.92"),
        ((0.91, 0.93), 0.92, None, True, "≥ 0.92"),
        ((1.0,), None, 0, False, "≤ 0"),
        ((0.0,), None, 0, True, "≤ 0"),
        ((0.5,), None, None, None, ""),
    ],
)
def test_a_goal_is_met_by_the_mean_of_the_seeds(values, least, most, met, goal) -> None:
    figure = Figure("part", "what", "test", values, "3 photos", least, most)
    assert (figure.met, figure.goal) == (met, goal)
    assert figure.told()["met"] is met and len(figure.told()["seeds"]) == len(values)
    assert ("±" in figure.row()[3]) == (len(values) > 1)


def test_what_is_missed_is_said_with_what_was_wanted() -> None:
    lines = vision.told([Figure("a", "x", "test", (0.5,), "", 0.9), Figure("b", "y", "test", (0.95,), "", 0.9)])
    assert "1 of 2 goals met; missed:" in lines[-2] and "a: x, test: 0.500, wanted ≥ 0.9" in lines[-1]


def test_the_embedding_is_held_to_the_goal_and_to_a_head_for_one_task() -> None:
    measures = {"browse kNN-10": 0.95, "browse recall@10": 0.7, "browse recall@10 of bits": 0.6}
    names = ("trunk", "shipped", "unified", "browse alone")
    embeddings = {name: {measure: [value, value] for measure, value in measures.items()} for name in names}
    embeddings["unified"]["browse kNN-10"] = [0.94, 0.94]
    embeddings["unified"]["browse recall@10"] = [0.69, 0.72]
    rows = {row.what: row for row in embedding.rows_of({"questions": {"browse": 9}, "embeddings": embeddings})}
    assert rows["browse: kNN-10, unified"].least == 0.95 and not rows["browse: kNN-10, unified"].met
    assert rows["browse: recall@10, unified"].least == 0.7 and rows["browse: recall@10, unified"].met
    assert rows["browse: kNN-10, shipped"].met
    assert rows["browse: recall@10 of bits, unified"].met is None and rows["browse: kNN-10, trunk"].met is None
    assert {row.split for row in rows.values()} == {"validation"} and rows[
        "browse: kNN-10, trunk"
    ].over == "9 questions"


@pytest.mark.parametrize("strict", [False, True])
def test_without_data_every_part_is_skipped_and_says_where_it_should_be(tmp_path: Path, strict: bool) -> None:
    options = ["--data", str(tmp_path / "none"), "--json", *(["--strict"] if strict else [])]
    told = CliRunner().invoke(vision.command, options)
    assert told.exit_code == int(strict), told.output
    found = json.loads(told.stdout)
    assert found["figures"] == [] or {one["part"] for one in found["figures"]} <= {"colours"}
    missing = set(vision.PARTS) - {one["part"] for one in found["figures"]}
    assert set(found["skipped"]) == missing
    assert all("PINSTREAM_DATA" in why for why in found["skipped"].values())


@pytest.mark.data
def test_a_part_is_measured_and_told(shared_data: Path) -> None:
    told = CliRunner().invoke(vision.command, ["--data", str(shared_data), "--only", "colours", "--quick"])
    assert told.exit_code == 0, told.output
    assert "largest ΔE, compressed" in told.stdout and "≤ 5" in told.stdout


@pytest.mark.data
def test_both_detectors_are_measured_and_one_that_is_not_there_is_named(shared_data: Path, tmp_path: Path) -> None:
    settings, boxes = replace(Settings.load({}), home=tmp_path), tmp_path / "boxes"
    weights, installed = tmp_path / "weights", Settings.load().home / "weights"
    weights.mkdir()
    for name in ("yolov4-tiny.weights", "yolov4-tiny.cfg", "coco.names"):
        if not (installed / name).exists():
            pytest.skip(f"{installed / name} is missing: run `make setup`")
        (weights / name).symlink_to(installed / name)
    for name in ("images", "labels"):
        (boxes / name).mkdir(parents=True)
    for part in ("validation", "test"):
        for picture in [one for one in (shared_data / "boxes" / "images").glob("*.jpg") if part_of(one.name) == part][
            :4
        ]:
            (boxes / "images" / picture.name).symlink_to(picture)
            labels = shared_data / "boxes" / "labels" / f"{picture.stem}.txt"
            (boxes / "labels" / labels.name).symlink_to(labels)

    def measured() -> tuple[dict[tuple[str, str], Figure], dict[str, str]]:
        given = Given(tmp_path, 1, False, settings, lambda _: None)
        return {(one.what, one.split): one for one in detection.both(given)}, given.absent

    found, absent = measured()
    assert {what for what, _ in found} == {"AP50, 1 (YOLOv4-tiny)"}
    assert set(absent) == {"detector 2"} and "Faster R-CNN" in absent["detector 2"] and "train" in absent["detector 2"]
    assert found["AP50, 1 (YOLOv4-tiny)", "held out"].value > 0.3

    exported = subprocess.run(
        [ENVIRONMENT / "bin" / "python", "-c", EXPORT, weights], cwd=PROJECT, capture_output=True, text=True
    )
    assert exported.returncode == 0, exported.stderr
    (weights / "yolov4-tiny.cfg").unlink()
    found, absent = measured()
    assert set(absent) == {"detector 1"} and "yolov4-tiny.cfg" in absent["detector 1"]
    (weights / "yolov4-tiny.cfg").symlink_to(installed / "yolov4-tiny.cfg")
    found, absent = measured()
    assert not absent and {split for _, split in found} == {"validation", "test", "held out"}
    assert found["AP50, 2 (Faster R-CNN)", "held out"].over == "8 photos"


def test_labels_become_boxes(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("1 0.5 0.5 0.2 0.4\n")
    [(label, box)] = detection.marked(tmp_path / "one.txt", ["person", "bicycle"])
    assert label == "bicycle" and box == pytest.approx((0.4, 0.3, 0.6, 0.7))


def test_crops_of_weak_labels_lie_in_the_picture() -> None:
    boxes = np.array([[0.0, 0.0, 0.1, 0.1], [0.5, 0.5, 1.0, 1.0]])
    moved = _jittered(boxes, 3)
    assert (moved >= 0).all() and (moved <= 1).all() and not (moved == boxes).all()
    assert (_jittered(boxes, 3) == moved).all()
    image = np.zeros((40, 60, 3), np.uint8)
    for padding in (0.05, 1.0, None):
        for box in boxes:
            height, width = _cut(image, box, padding).shape[:2]
            assert 1 <= height <= 40 and 1 <= width <= 60
