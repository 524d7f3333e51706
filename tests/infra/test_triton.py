"""Triton's start: whom it begins with, and what it leaves outside of its home, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from infra import supervisor, triton
from streams.cli.running import link_installed
from streams.settings import PROJECT, Settings
from tests.conftest import free_base

pytestmark = pytest.mark.real


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    installed = Settings.load()
    supervisor.install(installed, ["triton"], lambda _: None)
    settings = replace(Settings.load({}), home=tmp_path / "home", port_base=free_base())
    settings.home.mkdir()
    link_installed(installed.home, settings.home)
    return settings


def test_who_is_loaded_later_and_fails_is_named_and_the_others_serve(settings: Settings, tmp_path: Path) -> None:
    settings = replace(settings, model_repository=tmp_path / "models")
    shutil.copytree(PROJECT / "model_repo", settings.model_repository)
    config = settings.model_repository / "safety" / "config.pbtxt"
    config.write_text(config.read_text().replace("open-nsfw", "no-such-weights"))
    assert "safety" not in triton.FIRST
    try:
        with pytest.raises(supervisor.PartFailed, match=r"safety does not serve: .*no-such-weights") as told:
            supervisor.up(settings, lambda _: None, ["triton"])
        assert not any(f"{name} does not serve" in str(told.value) for name in (*triton.FIRST, "pinsage"))
    finally:
        supervisor.down(settings, lambda _: None, ["triton"])


def test_a_killed_triton_leaves_no_shared_memory(settings: Settings) -> None:
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
