"""Replay to a real broker: every event accounted for, at a rate, shifted in time, interrupted, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaException, TopicPartition

from operators.identity import stable_id
from streams.cli.replay import command
from streams.settings import Settings
from streams.traffic.lines import Line, decode_line, open_to_write
from streams.traffic.replay import Account, latest_time, read_lines, replay, shifted


def saves(number: int, start: int = 0) -> Iterator[Line]:
    for n in range(start, start + number):
        yield Line("saves", n + 1, {"time": 1_700_000_000_000 + n, "pinner": n + 1, "pin": 5, "board": "b"})


def ends(settings: Settings, topic: str) -> dict[int, int]:
    """Partition → the offset after its last record."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "ends"})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return {p: end_of(consumer, TopicPartition(topic, p)) for p in partitions}
    finally:
        consumer.close()


def end_of(consumer: Consumer, partition: TopicPartition) -> int:
    for _ in range(20):
        try:
            return consumer.get_watermark_offsets(partition, timeout=10)[1]
        except KafkaException:
            time.sleep(0.25)  # a topic just made has no leader for a moment
    raise AssertionError(f"{partition} never got a leader")


def records_after(settings: Settings, topic: str, before: dict[int, int]) -> list[tuple[bytes, dict[str, Any]]]:
    """Everything that came to the topic since ``before``."""
    after = ends(settings, topic)
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap, "group.id": "test", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in before.items()])
    wanted = sum(after.values()) - sum(before.values())
    got: list[tuple[bytes, dict[str, Any]]] = []
    deadline = time.monotonic() + 20
    while len(got) < wanted and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.5):
            assert message.error() is None
            got.append((message.key(), json.loads(message.value())))
    consumer.close()
    return got


@pytest.mark.real
def test_every_event_arrives_once_under_its_key(kafka: Settings) -> None:
    before = ends(kafka, "saves")
    account = replay(saves(5_000), kafka, Account())
    assert (account.sent, account.delivered, account.failed) == (5_000, 5_000, 0)
    records = records_after(kafka, "saves", before)
    assert sorted(event["pinner"] for _, event in records) == list(range(1, 5_001))
    assert all(key == str(event["pinner"]).encode() for key, event in records)


@pytest.mark.real
def test_a_string_key_goes_by_its_stable_id(kafka: Settings) -> None:
    before = ends(kafka, "saves")
    replay([Line("saves", "ann", {"time": 1, "pinner": "ann", "pin": 1, "board": 1})], kafka, Account())
    assert [key for key, _ in records_after(kafka, "saves", before)] == [str(stable_id("ann")).encode()]


@pytest.mark.real
def test_the_rate_is_kept_to(kafka: Settings) -> None:
    account = replay(saves(300), kafka, Account(), rate=200)
    # Never faster: 300 events at 200/s end no sooner than their last one is due.
    assert account.seconds >= 299 / 200
    assert account.delivered == 300


@pytest.mark.real
def test_a_refused_event_is_counted_as_failed_and_the_rest_arrives(kafka: Settings) -> None:
    lines = [*saves(3), Line("no.such.topic", 1, {"time": 1}), *saves(3, 3)]
    account = replay(lines, kafka, Account())
    assert (account.sent, account.delivered, account.failed) == (7, 6, 1)
    assert "no.such.topic" in account.errors[0]


@pytest.mark.real
def test_the_queue_holds_reading_back_and_loses_nothing(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.traffic.replay.QUEUE", 50)
    account = replay(saves(2_000), kafka, Account())
    assert (account.delivered, account.failed) == (2_000, 0)


def test_a_broker_that_is_not_there_is_a_failure_not_a_hang(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.traffic.replay.DELIVERY_SECONDS", 1)
    account = replay(saves(5), with_changes(settings, kafka="127.0.0.1:1"), Account())
    assert (account.delivered, account.failed) == (0, 5)
    assert account.errors


@pytest.mark.real
def test_the_command_reads_packed_files_shifts_to_now_and_reports_bad_lines(
    kafka: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a.jsonl.zst", tmp_path / "b.jsonl.gz"
    for path, lines in ((first, saves(10)), (second, saves(10, 10))):
        with open_to_write(str(path)) as file:
            for line in lines:
                file.write(line.encode())
            file.write(b"{broken\n\n")
    monkeypatch.setenv("PINSTREAM_KAFKA", kafka.kafka_bootstrap)
    before = ends(kafka, "saves")
    started = int(time.time() * 1000)
    result = CliRunner().invoke(command, [str(first), str(second), "--now", "--json"])
    account = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (account["read"], account["delivered"], account["bad"]) == (22, 20, 2)
    assert str(first) in account["errors"][0] and "line 11" in account["errors"][0]
    times = sorted(event["time"] for _, event in records_after(kafka, "saves", before))
    assert started <= times[-1] <= int(time.time() * 1000)
    assert times[-1] - times[0] == 19


@pytest.mark.real
def test_ctrl_c_waits_for_what_was_sent_and_says_so(kafka: Settings, tmp_path: Path) -> None:
    file = tmp_path / "saves.jsonl"
    file.write_bytes(b"".join(line.encode() for line in saves(2_000)))
    before = ends(kafka, "saves")
    program = f"from streams.cli.replay import command; command([{str(file)!r}, '--rate', '200/s', '--json'])"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PINSTREAM_KAFKA": kafka.kafka_bootstrap},
    )
    deadline = time.monotonic() + 20
    while sum(ends(kafka, "saves").values()) == sum(before.values()) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    account = json.loads(process.communicate(timeout=20)[0])
    assert process.returncode == 130
    assert account["interrupted"] is True
    assert 0 < account["delivered"] < 2_000
    assert account["sent"] == account["delivered"] == len(records_after(kafka, "saves", before))


def test_bare_events_need_a_topic(tmp_path: Path) -> None:
    file = tmp_path / "bare.jsonl"
    rows = [{"time": 5, "pinner": 3}, [1], {"time": 6, "pin": 9}, {"time": 4, "pinner": 1}]
    file.write_text("\n".join(map(json.dumps, rows)))
    account = Account()
    assert [line.key for line in read_lines([str(file)], account, "saves")] == [3, 1]
    assert (account.read, account.bad) == (4, 2)
    account = Account()
    assert list(read_lines([str(file)], account)) == []
    assert "--topic" in account.errors[0]
    assert latest_time([str(file)]) == 5


def test_lines_survive_the_file_and_shift() -> None:
    line = next(saves(1))
    assert decode_line(line.encode()) == line
    assert next(shifted([line], 10)).event["time"] == 1_700_000_000_010


@pytest.mark.parametrize("rate", ["fast", "-1", "nan/s", "inf"])
def test_a_rate_that_is_none_is_refused(rate: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path), "--rate", rate])
    assert result.exit_code == 2
    assert "events per second" in result.output
