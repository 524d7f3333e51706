"""Each test runs in one lane, whatever it asks for, and a failure in either lane is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import lanes
from tests.lanes import LANES, PARTS, in_lane, main


@pytest.mark.parametrize("fixtures", [[], ["tmp_path", "settings"], *([part, "tmp_path"] for part in sorted(PARTS))])
def test_one_lane_runs_it(fixtures: list[str]) -> None:
    assert [lane for lane in LANES if in_lane(lane, fixtures)] == ["shared" if PARTS & {*fixtures} else "apart"]
    assert in_lane("", fixtures)


@pytest.mark.parametrize(
    ("shared", "apart", "status"),
    [("0", "0", 0), ("1", "0", 1), ("0", "1", 1), ("0", "5", 0), ("5", "5", 1), ("5", "1", 1), ("0", "-9", 1)],
)
def test_the_exit_status_tells_of_both_lanes(
    shared: str, apart: str, status: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """5 is pytest's for: nothing to run here. Below 0 is a signal."""

    def ended(lane: str, _arguments: object) -> subprocess.Popen[str]:
        code = {"shared": shared, "apart": apart}[lane]
        end = "os.kill(os.getpid(), 9)" if code == "-9" else f"sys.exit({code})"
        program = f"import os, sys; print('here', flush=True); {end}"
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(lanes, "_start", ended)
    assert main([]) == status
    assert {"shared | here", "apart  | here"} <= {*capfd.readouterr().out.splitlines()}
