"""Settings: every choice a user can make, with a default a newcomer can keep.

Read once from the environment (``PINSTREAM_<NAME>``, upper case) over the defaults below.
Each outside part is either ``embedded`` (started here by ``pinstream up``) or a server's address.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import ClassVar

PROJECT = Path(__file__).resolve().parent.parent
EMBEDDED = "embedded"


@dataclass(frozen=True)
class Settings:
    """All settings. Ports of embedded parts are ``port_base`` plus a fixed step (:meth:`port`)."""

    #: One folder for data, logs, process ids and downloaded weights.
    home: Path = PROJECT / ".pinstream"
    host: str = "127.0.0.1"
    port_base: int = 29000

    #: ``embedded`` or ``host:port,host:port``.
    kafka: str = EMBEDDED
    #: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
    kafka_security: str = "PLAINTEXT"
    kafka_sasl_mechanism: str = "PLAIN"
    kafka_username: str = ""
    kafka_password: str = ""
    kafka_ca_file: str = ""
    #: Consumer group, and the prefix of whatever Faust names.
    group: str = "pinstream"
    #: A lasting name of this worker in its group (Kafka's static membership). Killed and started again under it, it has
    #: its partitions back at once. Empty for one that no other worker of this home has; see :mod:`streams.instance`.
    instance: str = ""
    #: Seconds after which the group gives a dead worker's partitions to others. Started again before, it has them back
    #: and nobody is disturbed. Six is the least that brokers allow by default.
    session_seconds: float = 6.0

    #: ``embedded`` or ``clickhouse://user:password@host:9000/database`` (``clickhouses://`` for TLS).
    clickhouse: str = EMBEDDED
    #: ``embedded`` (the standalone server), ``lite`` or ``http(s)://host:19530``.
    milvus: str = EMBEDDED
    milvus_token: str = ""
    #: A server's database, so that several engines may share one Milvus; empty for its default.
    milvus_database: str = ""
    #: ``embedded`` or ``host:port`` of Triton's gRPC endpoint.
    triton: str = EMBEDDED
    #: The folders that Triton serves, one a model; ``pinstream models deploy`` puts new ones there.
    model_repository: Path = PROJECT / "model_repo"
    #: Which detector the embedded Triton serves after its next start: ``1`` (YOLOv4-tiny), ``2`` (Faster R-CNN), or
    #: ``auto``: 2 where it was trained and measured to be better on the same photos. See ``docs/models.md``.
    detector: str = "auto"

    #: What the ranker sees of a candidate and what a candidate is worth, in Linchpin; read again whenever it changes.
    #: See ``docs/linchpin.md``.
    spec: Path = PROJECT / "streams" / "feed.linchpin"
    #: Python modules with transforms of one's own for it, comma-separated.
    transforms: str = ""

    #: Engagement rows that may wait in memory for ClickHouse (some 85 bytes each); then the worker reads no further.
    waiting_rows: int = 600_000
    #: Slates whose rows may wait for ClickHouse (some 18 kB each); later ones are read back from Kafka.
    waiting_slates: int = 5_000
    #: Seconds between looks at what other workers of the group wrote, so that each one's memory knows everything.
    follow_seconds: float = 0.5
    #: 1: `pinstream run` keeps a second process beside each worker that has imported and compiled everything and waits
    #: to take its place when it dies; it holds some 300 MB. 0: none, and a start takes some seconds longer.
    spare_workers: int = 1
    #: Seconds in which a worker that is told to stop has stopped, whatever part is gone.
    stop_seconds: float = 20.0

    #: Pictures in which something was detected are also cut into so many windows a side for object search, 0 (none) to
    #: 4. Each window is one encoding and one vector more; ``docs/lens.md`` says what that finds.
    object_windows: int = 3
    #: How Milvus finds objects: ``float`` (HNSW, 1.2 kB of memory each) or ``binary`` (32 bytes, then the short list is
    #: ordered by its floats, which stay on disk); ``docs/decisions/0013-binary-index.md`` has what either costs.
    object_index: str = "float"

    #: Pins whose picture has a higher score than this for not being safe for work (0 … 1) are shown to nobody; 1 lets
    #: all through. See ``docs/safety.md``.
    unsafe_above: float = 0.8
    #: The detector looks at pictures whose pin's text makes something that it knows as likely as this, 0 … 1; at 0 at
    #: every one. ``docs/detection.md`` says what that spares and what it loses.
    two_step: float = 0.0

    #: ``on``: pins have a vector of their neighbourhood, too (PinSage), by which slates and related pins find them;
    #: ``off``: nothing of it is loaded or asked. See ``docs/pinsage.md``.
    pinsage: str = "on"

    api_token: str = ""
    #: Folders that ``file://`` images may come from, colon-separated; relative to the project.
    image_folders: str = "examples"
    #: Hosts on a private network that images may come from, ``host`` or ``host:port``, comma-separated.
    image_hosts: str = ""

    @property
    def linked_models(self) -> Path:
        """Links to ``model_repository``: what the embedded Triton serves where this home chose another detector."""
        return self.home / "data" / "triton" / "models"

    @classmethod
    def load(cls, environ: dict[str, str] | None = None) -> Settings:
        """Settings from the environment. Raises ValueError naming the variable that is wrong."""
        environ = dict(os.environ) if environ is None else environ
        given: dict[str, object] = {}
        for field in fields(cls):
            name = f"PINSTREAM_{field.name.upper()}"
            text = environ.get(name)
            if text is None:
                continue
            kind = type(field.default)
            try:
                given[field.name] = Path(text).expanduser().resolve() if isinstance(field.default, Path) else kind(text)
            except ValueError as error:
                raise ValueError(f"{name}={text!r}: {error}") from None
        made = cls(**given)  # type: ignore[arg-type]
        if not 0 <= made.unsafe_above <= 1:
            raise ValueError(f"PINSTREAM_UNSAFE_ABOVE={made.unsafe_above:g}: must be from 0 to 1")
        if made.pinsage not in ("on", "off"):
            raise ValueError(f"PINSTREAM_PINSAGE={made.pinsage!r}: use on or off")
        return made

    #: Step of each embedded part's port over ``port_base``.
    PORTS: ClassVar[dict[str, int]] = {
        "api": 8,
        "clickhouse": 23,
        "milvus": 30,
        "prometheus": 60,
        "faust": 66,
        "triton_http": 80,
        "triton_grpc": 81,
        "triton_metrics": 82,
        "milvus_metrics": 91,
        "kafka": 92,
        "kafka_controller": 93,
    }

    def port(self, part: str) -> int:
        """The port of an embedded part; ``PINSTREAM_PORT_<PART>`` overrides one alone."""
        own = os.environ.get(f"PINSTREAM_PORT_{part.upper()}")
        return int(own) if own else self.port_base + self.PORTS[part]

    @cached_property
    def kafka_bootstrap(self) -> str:
        return f"{self.host}:{self.port('kafka')}" if self.kafka == EMBEDDED else self.kafka

    @cached_property
    def clickhouse_http(self) -> str:
        """Where the embedded ClickHouse process speaks ClickHouse's HTTP interface."""
        return f"http://{self.host}:{self.port('clickhouse')}"

    @cached_property
    def triton_grpc(self) -> str:
        return f"{self.host}:{self.port('triton_grpc')}" if self.triton == EMBEDDED else self.triton

    @cached_property
    def milvus_uri(self) -> str:
        if self.milvus == EMBEDDED:
            return f"http://{self.host}:{self.port('milvus')}"
        return str(self.home / "data" / "milvus-lite.db") if self.milvus == "lite" else self.milvus

    @cached_property
    def readable_folders(self) -> list[Path]:
        """Absolute folders that ``file://`` images may be read from."""
        return [(PROJECT / folder).resolve() for folder in self.image_folders.split(":") if folder]

    @cached_property
    def trusted_image_hosts(self) -> frozenset[str]:
        """``host`` or ``host:port`` that images may be fetched from although their address is private."""
        return frozenset(host.strip().lower() for host in self.image_hosts.split(",") if host.strip())
