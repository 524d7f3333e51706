"""What agents emit, to Kafka: queued at once, safe when flushed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streams.settings import Settings
from streams.stores.protocols import StoreUnavailable


def client_config(settings: Settings) -> dict[str, Any]:
    """librdkafka's settings for reaching the broker, for producers, consumers and admins alike."""
    # Errors reach whoever sends; librdkafka's own lines on every failed connection only hide them.
    config: dict[str, Any] = {"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2}
    # A broker that came back is found within a second; librdkafka would wait up to ten.
    config["reconnect.backoff.max.ms"] = 1000
    if settings.kafka_security != "PLAINTEXT":
        config["security.protocol"] = settings.kafka_security
    if settings.kafka_security.startswith("SASL"):
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_username
        config["sasl.password"] = settings.kafka_password
    if settings.kafka_ca_file:
        config["ssl.ca.location"] = settings.kafka_ca_file
    return config


#: Largest message in bytes, as ``infra/topics.toml`` has it: a pin that carries its image, and what we add to it.
LARGEST_MESSAGE = 17 << 20


async def reach_broker(settings: Settings) -> None:
    """Raises StoreUnavailable unless a broker answers: not only its port, which a proxy or a dying broker has too."""
    admin = AdminClient(client_config(settings))
    try:
        await asyncio.to_thread(admin.list_topics, timeout=5)
    except KafkaException as error:
        raise StoreUnavailable("kafka", str(error)) from None


class KafkaOutputs:
    """Implements :class:`streams.engine.Outputs` over one idempotent producer."""

    FLUSH_SECONDS = 10.0

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(
            {
                **client_config(settings),
                "enable.idempotence": True,
                "linger.ms": 2,
                # A message waits for the broker as long as it takes; the batch behind it stays uncommitted.
                "message.timeout.ms": 0,
                "queue.buffering.max.messages": 1_000_000,
                # Its own default is below 1 MB: a pin with a larger image would never get on.
                "message.max.bytes": LARGEST_MESSAGE,
                # The partitioner of Java's clients, so that a key is on one partition whoever sends it.
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
            }
        )
        #: Messages that the broker refused; sent again by the next flush, so none is ever lost.
        self._refused: list[tuple[str, int, bytes]] = []
        self._reason = ""

    def send(self, topic: str, key: int, value: bytes) -> None:
        """Queue one message. Raises StoreUnavailable when a million already wait for the broker."""
        try:
            self._producer.produce(
                topic, value, str(key).encode(), on_delivery=partial(self._delivered, topic, key, value)
            )
            self._producer.poll(0)
        except (BufferError, KafkaException) as error:
            raise StoreUnavailable("kafka", str(error)) from None

    def _delivered(self, topic: str, key: int, value: bytes, error: Any, _message: Any) -> None:
        if error is not None:
            self._refused.append((topic, key, value))
            self._reason = str(error)

    async def flush(self) -> None:
        refused, self._refused = self._refused, []
        for message in refused:
            self.send(*message)
        waiting = await asyncio.to_thread(self._producer.flush, self.FLUSH_SECONDS)
        if self._refused:
            raise StoreUnavailable("kafka", f"{len(self._refused)} messages were refused: {self._reason}")
        if waiting:
            raise StoreUnavailable("kafka", f"{waiting} messages still wait for the broker")

    async def close(self) -> None:
        await asyncio.to_thread(self._producer.flush, self.FLUSH_SECONDS)


async def reach(bootstrap: str) -> None:
    """Is there a broker at all? Asked before an event is taken, so that a caller is told at once.

    Raises StoreUnavailable unless one of the brokers (``host:port,host:port``) accepts a connection.
    """
    reason = "no broker is named"
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            reason = str(error)
            continue
        writer.close()
        return
    raise StoreUnavailable("kafka", reason, retry_after=5.0)
