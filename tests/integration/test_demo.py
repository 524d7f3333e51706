"""The demo as people run it: a process of its own, from nothing to its last line, and what it leaves when it fails."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infra import ports, supervisor
from streams.cli.running import link_installed
from streams.settings import Settings
from streams.traffic.lines import decode_line, open_to_read
from streams.traffic.sample import PINS, TRAFFIC
from tests.conftest import free_base

pytestmark = [pytest.mark.real, pytest.mark.slow]

NEWCOMERS_SAVES = 3
MINUTES = 15


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """A fresh home with what set-up installed, and ports that are free."""
    installed = Settings.load()
    supervisor.install(installed, supervisor.PARTS, lambda _: None)
    mine = replace(Settings.load({}), home=tmp_path / "home", port_base=free_base())
    mine.home.mkdir()
    link_installed(installed.home, mine.home)
    return mine


def demo(home: Settings) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PINSTREAM_HOME": str(home.home),
        "PINSTREAM_PORT_BASE": str(home.port_base),
        "ONCE": "1",
    }
    command = [str(Path(sys.executable).with_name("pinstream")), "demo"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=MINUTES * 60, check=False)


def nothing_runs(home: Settings) -> bool:
    mine = replace(home, home=home.home / "demo")
    return all(ports.is_free(mine.host, mine.port(part)) for part in Settings.PORTS)


@pytest.mark.timeout(MINUTES * 60)
def test_the_demo_ends_with_figures_that_agree_and_leaves_nothing_running(home: Settings) -> None:
    done = demo(home)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    *story, last = done.stdout.strip().splitlines()
    figures = json.loads(last)
    with open_to_read(PINS) as file:
        pins = [decode_line(text) for text in file]
    with open_to_read(TRAFFIC) as file:
        events = sum(1 for _ in file)
    assert figures["events_in"] == figures["events_counted"] == events + NEWCOMERS_SAVES
    assert figures["recount_equal"] is True
    assert figures["pins_understood"] == len(pins)
    assert figures["objects"] > 0
    windows = figures["vectors"] - figures["pins_understood"] - figures["objects"]
    assert 0 < windows <= Settings.object_windows**2 * figures["pins_understood"]
    assert figures["feeds"] > 0
    assert figures["dead_letters"] == 0
    assert 0 < figures["freshness_ms"]["p50"] <= figures["freshness_ms"]["p99"]
    assert any("feed after" in line for line in story)
    assert any(str(line.event["title"]) in row for line in pins for row in story)
    assert nothing_runs(home)


@pytest.mark.timeout(300)
def test_a_demo_that_cannot_start_says_why_and_leaves_nothing_running(home: Settings) -> None:
    with socket.create_server((home.host, home.port("clickhouse"))):
        done = demo(home)
    assert done.returncode == 1
    assert str(home.port("clickhouse")) in done.stderr
    assert nothing_runs(home)
