"""What Triton leaves outside of its home, however it ends."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from infra import supervisor, triton
from streams.cli.running import link_installed
from streams.settings import Settings
from tests.conftest import free_base

pytestmark = pytest.mark.real


def test_a_killed_triton_leaves_no_shared_memory(tmp_path: Path) -> None:
    installed = Settings.load()
    supervisor.install(installed, ["triton"], lambda _: None)
    settings = replace(Settings.load({}), home=tmp_path / "home", port_base=free_base())
    settings.home.mkdir()
    link_installed(installed.home, settings.home)
    before = regions()
    try:
        supervisor.up(settings, lambda _: None, ["triton"])
        made = regions() - before
        assert len(made) >= len(triton.models(settings))
        [status] = supervisor.status(settings, ["triton"])
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
    finally:
        supervisor.down(settings, lambda _: None, ["triton"])
    assert not made & regions()


def regions() -> set[str]:
    return {file.name for file in triton.SHARED_MEMORY.iterdir()}
