"""The log that the engines read: a real Kafka 4.1 in a home of its own, prefilled."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import click
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.peers.job import PARTITIONS
from infra import kafka, supervisor
from infra.part import Say
from infra.ports import require_free
from infra.process import remember
from streams.cli.running import home_of_its_own, link_installed
from streams.settings import Settings

#: Kafka's own default for a production cluster is 3,000. Two workers that start together share the first assignment.
FIRST_REBALANCE_MS = 2_000


@contextmanager
def broker(installed: Settings, say: Say) -> Generator[Settings]:
    """A broker for as long as the block lasts; its log is empty at first and thrown away by the next one."""
    settings = home_of_its_own(installed, "bench-peers")
    supervisor.install(installed, ["kafka"], say)
    link_installed(installed.home, settings.home)
    kafka.prepare(settings, say)
    part = kafka.part(settings)
    require_free(settings, part)
    log = settings.home / "logs" / "kafka.log"
    command = [*part.command, "--override", f"group.initial.rebalance.delay.ms={FIRST_REBALANCE_MS}"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    remember(settings, "kafka", process.pid, part.stop_timeout)  # a second run sees it and leaves its log alone
    try:
        deadline = time.monotonic() + part.start_timeout
        while not part.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"Kafka did not start; {supervisor.last_lines(log)}")
            time.sleep(0.2)
        say(f"kafka: ready at {part.address}")
        yield settings
    finally:
        process.terminate()
        try:
            process.wait(part.stop_timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fill(bootstrap: str, topic: str, messages: Iterable[tuple[int, bytes, bytes]], codec: str) -> None:
    """Produce (partition, key, value) into a new topic, in order, as librdkafka batches and compresses them."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for created in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        created.result()
    options = {"compression.type": codec, "linger.ms": 50, "batch.size": 1 << 18}
    producer = Producer({"bootstrap.servers": bootstrap, **options})
    for number, (partition, key, value) in enumerate(messages):
        while True:
            try:
                producer.produce(topic, value, key, partition)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    if left := producer.flush(120):
        raise click.ClickException(f"{left} events of {topic} were not delivered")


def folder_of(settings: Settings, name: str) -> Path:
    folder = settings.home / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
