"""A worker's lasting name: the same again after a kill, and never two workers of one name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from streams.instance import hold_name
from streams.settings import PROJECT, Settings

HOLD = """
import sys
from dataclasses import replace
from pathlib import Path
from streams.instance import hold_name
from streams.settings import Settings
print(hold_name(replace(Settings.load({}), home=Path(sys.argv[1]))), flush=True)
input()
"""


def holder(home: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that holds a name, and what it says that this is."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT,
    )  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_the_name_of_a_killed_worker_is_that_of_the_next_and_of_nobody_before(tmp_path: Path) -> None:
    first, name = holder(tmp_path)
    second, none = holder(tmp_path)
    assert name and none == "None"
    for process in (first, second):
        process.kill()
        process.wait()
    third, again = holder(tmp_path)
    third.kill()
    third.wait()
    assert again == name


def test_other_homes_and_other_ports_have_other_names(tmp_path: Path) -> None:
    settings = replace(Settings.load({}), home=tmp_path / "one")
    names = {
        hold_name(settings),
        hold_name(replace(settings, port_base=settings.port_base + 100)),
        hold_name(replace(settings, home=tmp_path / "two")),
    }
    assert len(names - {None}) == 3


def test_a_name_that_was_given_is_another_at_another_address(tmp_path: Path) -> None:
    settings = replace(Settings.load({}), home=tmp_path, instance="w")
    assert hold_name(settings) != hold_name(replace(settings, port_base=settings.port_base + 100))
