"""Each test runs in one lane, whatever it asks for, and a failure in either lane is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import lanes
from tests.lanes import LANES, PARTS, in_lane, main


@pytest.mark.parametrize("fixtures", [[], ["tmp_path", "settings"], *([part, "tmp_path"] for part in sorted(PARTS))])
def test_one_lane_runs_it(fixtures: list[str]) -> None:
    assert [lane for lane in LANES if in_lane(lane, fixtures)] == ["shared" if PARTS & {*fixtures} else "apart"]
    assert not any(in_lane(lane, fixtures, alone=True) for lane in LANES)
    assert in_lane("", fixtures) and in_lane("", fixtures, alone=True)


@pytest.mark.parametrize(
    ("shared", "apart", "alone", "status"),
    [
        ("0", "0", "0", 0), ("1", "0", "0", 1), ("0", "1", "0", 1), ("0", "0", "1", 1), ("0", "5", "5", 0),
        ("5", "5", "0", 0), ("5", "5", "5", 1), ("5", "1", "5", 1), ("0", "-9", "0", 1),
    ],
)  # fmt: skip
def test_the_exit_status_tells_of_all(
    shared: str, apart: str, alone: str, status: int,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    """5 is pytest's for: nothing to run here. Below 0 is a signal."""

    def ended(lane: str, _arguments: object) -> subprocess.Popen[str]:
        code = {"shared": shared, "apart": apart, lanes.ALONE: alone}[lane]
        end = "os.kill(os.getpid(), 9)" if code == "-9" else f"sys.exit({code})"
        program = f"import os, sys; print('here', flush=True); {end}"
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(lanes, "_start", ended)
    monkeypatch.setattr(lanes, "CACHE", tmp_path)
    assert main([]) == status
    assert {"shared | here", "apart  | here", "alone  | here"} <= {*capfd.readouterr().out.splitlines()}


@pytest.mark.parametrize(("alone", "status"), [("0", 0), ("1", 1)])
def test_what_failed_runs_once_more_alone(
    alone: str, status: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In ``shared`` one test fails; alone it passes, or fails again. Nothing is marked to run alone."""
    asked: list[tuple[str, list[str]]] = []

    def ended(lane: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
        asked.append((lane, list(arguments)))
        noted = tmp_path / lane / "v" / "cache"
        noted.mkdir(parents=True, exist_ok=True)
        (noted / "lastfailed").write_text(json.dumps({f"tests/test_{lane}.py::test_it": True}))
        code = "5" if "-m" in arguments else {"shared": "1", "apart": "0", lanes.ALONE: alone}[lane]
        return subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(lanes, "_start", ended)
    monkeypatch.setattr(lanes, "CACHE", tmp_path)
    assert main(["-q"]) == status
    both, marked = [("shared", ["-q"]), ("apart", ["-q"])], (lanes.ALONE, ["-q", "-m", lanes.ALONE])
    assert asked == [*both, marked, (lanes.ALONE, ["tests/test_shared.py::test_it"])]
    assert "once more alone: tests/test_shared.py::test_it" in capfd.readouterr().out


def test_a_failure_that_nobody_noted_stays_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What ``shared`` failed of is not known, and of ``apart`` all passes alone."""

    def ended(lane: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
        if lane == "apart":
            (tmp_path / lane / "v" / "cache").mkdir(parents=True)
            (tmp_path / lane / "v" / "cache" / "lastfailed").write_text('{"tests/test_it.py::test_it": true}')
        code = "5" if "-m" in arguments else "0" if lane == lanes.ALONE else "1"
        return subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(lanes, "_start", ended)
    monkeypatch.setattr(lanes, "CACHE", tmp_path)
    assert main([]) == 1
