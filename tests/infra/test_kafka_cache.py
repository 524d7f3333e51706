"""The broker's cache for quick starts: made once, used, and never in the way of a start."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from infra import kafka_cache
from infra.process import remembered
from streams.settings import Settings


def rehearsal(code: str) -> kafka_cache.Rehearsal:
    """A stand-in for a broker, which is up at once."""
    return lambda _folder: ([sys.executable, "-c", code], lambda: True)


def test_what_goes_wrong_is_told_and_stops_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    kafka_cache.make(tmp_path, rehearsal("raise SystemExit(1)"), said.append)
    assert "starts take longer" in said[-1]
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    kafka_cache.path(tmp_path).write_bytes(b"made before")
    kafka_cache.make(tmp_path, lambda _: pytest.fail("made again"), lambda _: None)
    assert kafka_cache.path(tmp_path).read_bytes() == b"made before"


@pytest.mark.real
def test_the_broker_uses_it(kafka: Settings) -> None:
    running = remembered(kafka, "kafka")
    assert running is not None
    cache = kafka_cache.path(kafka.home / "kafka").resolve()
    assert str(cache) in {Path(mapped.path).as_posix() for mapped in psutil.Process(running.pid).memory_maps()}
