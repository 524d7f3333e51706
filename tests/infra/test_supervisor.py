"""The supervisor against a real broker: what `pinstream up` and `down` promise."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from infra import clickhouse_merges, supervisor, topics
from infra.process import Running, remembered
from streams.settings import Settings
from tests.integration.running import until

pytestmark = pytest.mark.real


def pid_of(settings: Settings) -> int:
    running = remembered(settings, "kafka")
    assert running is not None
    return running.pid


def test_up_twice_leaves_the_process_alone(kafka: Settings) -> None:
    before = pid_of(kafka)
    supervisor.up(kafka, names=["kafka"])
    assert pid_of(kafka) == before


def test_up_after_a_kill_starts_it_again_with_its_data(kafka: Settings) -> None:
    before = pid_of(kafka)
    os.kill(before, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before)], timeout=10)
    assert [status.state for status in supervisor.status(kafka, ["kafka"])] == ["stopped"]
    supervisor.up(kafka, names=["kafka"])
    assert pid_of(kafka) != before
    assert topics.missing(kafka) == []


def test_status_tells_pid_memory_and_address(kafka: Settings) -> None:
    (status,) = supervisor.status(kafka, ["kafka"])
    assert (status.state, status.pid, status.address) == ("ready", pid_of(kafka), kafka.kafka_bootstrap)
    assert status.resident_bytes and status.resident_bytes > 50_000_000


def test_every_thread_of_clickhouse_gives_way_to_workers(clickhouse: Settings) -> None:
    running = remembered(clickhouse, "clickhouse")
    assert running is not None
    threads = [thread.id for thread in psutil.Process(running.pid).threads()]
    levels = [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads]
    merging = levels.count(clickhouse_merges.NICE)
    # It may raise one of its own.
    assert len(threads) > 10 and 0 not in levels and levels.count(5) + merging >= len(levels) - 2
    session = Path(f"/proc/{running.pid}/autogroup")
    assert not session.exists() or session.read_text().endswith("nice 5\n")


def test_merges_go_last(clickhouse: Settings) -> None:
    running = remembered(clickhouse, "clickhouse")
    assert running is not None
    for sql in ("CREATE TABLE merged (i Int64) ENGINE = MergeTree ORDER BY i", *["INSERT INTO merged VALUES (1)"] * 2):
        urlopen(clickhouse.clickhouse_http, sql.encode(), timeout=30).close()
    urlopen(clickhouse.clickhouse_http, b"OPTIMIZE TABLE merged FINAL", timeout=30).close()

    def levels() -> set[int]:
        threads = Path(f"/proc/{running.pid}/task").iterdir()
        merging = [each for each in threads if (each / "comm").read_text().strip() == clickhouse_merges.THREADS]
        return {os.getpriority(os.PRIO_PROCESS, int(each.name)) for each in merging}

    until("threads that merge give way", lambda: levels() == {clickhouse_merges.NICE}, 10)


def test_topics_are_applied_once(kafka: Settings) -> None:
    assert topics.apply(kafka) == []


def test_a_changed_topic_is_set_back(kafka: Settings) -> None:
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    changed = ConfigResource(ResourceType.TOPIC, "saves")
    changed.add_incremental_config(ConfigEntry("retention.ms", "60000", incremental_operation=AlterConfigOpType.SET))
    admin = AdminClient(topics.client_config(kafka))
    for answer in admin.incremental_alter_configs([changed]).values():
        answer.result(10)
    assert topics.apply(kafka) == ["set retention.ms=604800000 on topic saves"]


def test_declared_topics_have_their_partitions(kafka: Settings) -> None:
    from confluent_kafka.admin import AdminClient

    present = AdminClient(topics.client_config(kafka)).list_topics(timeout=10).topics
    assert {topic.name: topic.partitions for topic in topics.declared()}.items() <= {
        name: len(topic.partitions) for name, topic in present.items()
    }.items()


@pytest.fixture
def elsewhere(kafka: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A second home on the same installed jars, nothing running in it."""
    (tmp_path / "kafka").symlink_to((kafka.home / "kafka").resolve())
    mine = replace(kafka, home=tmp_path)
    yield mine
    supervisor.down(mine, lambda _: None, ["kafka"])


def test_a_taken_port_names_its_owner_and_the_setting(elsewhere: Settings) -> None:
    with pytest.raises(supervisor.PartFailed) as failed:
        supervisor.up(elsewhere, names=["kafka"])
    for told in (str(elsewhere.port("kafka")), "java", "PINSTREAM_PORT_KAFKA", "PINSTREAM_PORT_BASE"):
        assert told in str(failed.value)


def test_a_part_that_dies_shows_its_last_lines(elsewhere: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as one, socket.socket() as other:
        one.bind((elsewhere.host, 0))
        other.bind((elsewhere.host, 0))
        monkeypatch.setenv("PINSTREAM_PORT_KAFKA", str(one.getsockname()[1]))
        monkeypatch.setenv("PINSTREAM_PORT_KAFKA_CONTROLLER", str(other.getsockname()[1]))
    monkeypatch.setattr("infra.kafka.HEAP", "1k")
    with pytest.raises(supervisor.PartFailed, match=r"(?s)kafka died at start; the end of .*kafka\.log.*heap"):
        supervisor.up(elsewhere, names=["kafka"])


def test_down_is_quiet_when_nothing_runs(elsewhere: Settings) -> None:
    said: list[str] = []
    supervisor.down(elsewhere, said.append)
    supervisor.down(elsewhere, said.append)
    assert said == []


def test_a_reused_process_id_is_not_ours() -> None:
    me = psutil.Process()
    assert Running(me.pid, me.create_time(), 1).alive()
    someone_before = Running(me.pid, me.create_time() - 60, 1)
    assert not someone_before.alive()
    assert someone_before.stop() == "itself"
    assert me.is_running()
