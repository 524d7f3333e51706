"""Kafka topics as declared in ``topics.toml``, applied as often as one likes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from streams.settings import Settings

DECLARATION = Path(__file__).with_name("topics.toml")
TIMEOUT_SECONDS = 30.0
#: Let the cluster's own default decide; the embedded broker's is 1.
CLUSTER_DEFAULT_REPLICATION = -1


@dataclass(frozen=True)
class Topic:
    name: str
    partitions: int
    config: dict[str, str]


def declared() -> list[Topic]:
    """The topics of ``topics.toml``."""
    return [Topic(name, **fields) for name, fields in tomllib.loads(DECLARATION.read_text()).items()]


def client_config(settings: Settings) -> dict[str, str | int]:
    """librdkafka's configuration to reach the broker: address, TLS and SASL."""
    config: dict[str, str | int] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "security.protocol": settings.kafka_security,
    }
    if settings.kafka_security.startswith("SASL"):
        config |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_username,
            "sasl.password": settings.kafka_password,
        }
    if settings.kafka_ca_file:
        config["ssl.ca.location"] = settings.kafka_ca_file
    return config


def missing(settings: Settings, timeout: float = TIMEOUT_SECONDS) -> list[str]:
    """Declared topics that the broker does not have. Raises KafkaException when it cannot be reached for so long."""
    present = AdminClient(client_config(settings) | {"log_level": 0}).list_topics(timeout=timeout).topics
    return [topic.name for topic in declared() if topic.name not in present]


def apply(settings: Settings) -> list[str]:
    """Create the topics that are missing and set the configuration that differs; says each change it made.

    Partitions are never added to an existing topic: keys would move between partitions and lose their order.
    """
    admin = AdminClient(client_config(settings))
    present = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    fresh = [topic for topic in declared() if topic.name not in present]
    if fresh:
        asked = admin.create_topics(
            [
                NewTopic(topic.name, topic.partitions, CLUSTER_DEFAULT_REPLICATION, config=topic.config)
                for topic in fresh
            ]
        )
        for created in asked.values():
            created.result(TIMEOUT_SECONDS)
    changes = [f"created topic {topic.name} with {topic.partitions} partitions" for topic in fresh]
    return changes + _configure(admin, [topic for topic in declared() if topic.name in present])


def _configure(admin: AdminClient, topics: list[Topic]) -> list[str]:
    """Set only what differs, so that a second run changes nothing."""
    if not topics:
        return []
    resources = {topic.name: ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics}
    answers = admin.describe_configs(list(resources.values()))
    now = {resource.name: answer.result(TIMEOUT_SECONDS) for resource, answer in answers.items()}
    changes: list[str] = []
    for topic in topics:
        for key, value in topic.config.items():
            if now[topic.name][key].value != value:
                resources[topic.name].add_incremental_config(
                    ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                )
                changes.append(f"set {key}={value} on topic {topic.name}")
    changed = [resource for resource in resources.values() if resource.incremental_configs]
    for answer in (admin.incremental_alter_configs(changed) if changed else {}).values():
        answer.result(TIMEOUT_SECONDS)
    return changes
