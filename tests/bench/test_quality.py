"""`pinstream evaluate vision`: figures stand to their goals, and what cannot be measured is skipped aloud."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench.quality import detection, embedding, vision
from bench.quality.figure import Figure
from bench.quality.weak_labels import _cut, _jittered


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
