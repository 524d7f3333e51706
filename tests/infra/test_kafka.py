"""The broker as a part."""

from __future__ import annotations

import pytest

from infra import supervisor
from streams.settings import Settings

pytestmark = pytest.mark.real


def test_its_log_tells_what_it_does(kafka: Settings) -> None:
    log = supervisor.log_of(kafka, "kafka").read_text()
    assert "INFO KafkaRaftServer" in log
    assert "The broker has been unfenced" in log
