"""Workers under lasting names in their group: killed and started again, and stopped in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from tests.integration.running import Worker, until

pytestmark = pytest.mark.real

#: Longer than a start takes, however busy the machine is.
SESSION_SECONDS = 60


@pytest.fixture
def second(worker: Worker) -> Iterator[Worker]:
    """One more of the same home and group."""
    running = worker.another("second-of-two", {"PINSTREAM_SESSION_SECONDS": str(SESSION_SECONDS)})
    try:
        running.start()
        until("both have partitions", lambda: shared(worker), 30)
        yield running
    finally:
        running.stop()


def partitions(worker: Worker) -> dict[str, set[tuple[str, int]]]:
    """What each member of the group has, by its lasting name."""
    admin = AdminClient({"bootstrap.servers": worker.settings.kafka_bootstrap})
    group = worker.settings.group
    found = admin.describe_consumer_groups([group])[group].result(timeout=10)
    return {
        str(member.group_instance_id): {(tp.topic, tp.partition) for tp in member.assignment.topic_partitions}
        for member in found.members
    }


def shared(worker: Worker) -> bool:
    """Do both workers have partitions?"""
    found = partitions(worker)
    return len(found) == 2 and all(found.values())


def joins(worker: Worker) -> int:
    return worker.log.read_text().count("(Re-)joining group")


def test_started_again_it_has_its_partitions_back_and_nobody_else_is_disturbed(worker: Worker, second: Worker) -> None:
    before, disturbed = partitions(worker), joins(worker)
    for _ in range(2):
        second.kill()
        second.start()
    assert joins(worker) == disturbed, "the group was shared anew"
    assert partitions(worker) == before


def test_one_that_stops_in_order_leaves_at_once(worker: Worker, second: Worker) -> None:
    second.stop()
    until("one has everything", lambda: len(partitions(worker)) == 1, SESSION_SECONDS / 3)
