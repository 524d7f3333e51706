"""Kafka's jars, locked with hashes in ``kafka_jars.txt``; see :mod:`infra.jars` for what is verified."""

from __future__ import annotations

from pathlib import Path

from infra import jars
from infra.part import Say

KAFKA = "org.apache.kafka:kafka_2.13:4.1.0"
#: What takes Kafka's log lines to log4j2, as in its own distribution; without it SLF4J drops every one of them.
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
LOCK = Path(__file__).with_name("kafka_jars.txt")


def classpath(folder: Path) -> str:
    """The class path of the jars, whether they are installed yet or not."""
    return jars.classpath(LOCK, folder)


def complete(folder: Path) -> bool:
    """Whether every jar is there (not whether it is right: :func:`install` checks that)."""
    return jars.complete(LOCK, folder)


def install(folder: Path, say: Say) -> None:
    """Download the jars that are missing or damaged into ``folder``, a Maven repository layout."""
    jars.install(LOCK, folder, "Kafka 4.1", say)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        LOCK.write_text(jars.resolved([KAFKA, LOGGING], Path(scratch)))
