"""Every way to do the job that is measured: how it is run, how it is set, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Counted = Literal["counts", "events"]
AT_LEAST_ONCE = "at least once by committed offsets; counts live in memory and are lost with the process"


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    engine: str
    name: str
    #: The module of ``bench.peers.engines``; for Java the arguments after the common ones.
    script: str
    settings: str
    guarantee: str
    #: ``counts``: every count is checked; ``events``: it does not count, only the number of events is checked.
    checked: Counted = "counts"
    #: From when a run is timed; always until the last event is counted.
    timed_from: str = "first records"
    #: The largest number of events it gets, for the slow ones; a topic of their own holds them.
    events_at_most: int = 10**12
    workers: int = 1


#: How far a plain consumer goes.
_STEPS: tuple[tuple[str, Counted], ...] = (("fetch", "events"), ("decode", "events"), ("count", "counts"))
_OURS = (
    "fetches of 2 MiB a partition, at most 20,000 records a batch, compiled scanner with an exact path for what is odd"
)
_OURS_PROMISE = "at least once; a batch is committed when it is counted; counts live in memory"
_RDKAFKA = "fetch.queue.backoff.ms 5, queued.min.messages 500,000, fetches of 1 MiB a partition"
_AIOKAFKA = "fetch_max_wait_ms 50, fetches of 1 MiB a partition"
_FLINK = "DataStream, parallelism 2 in one JVM, event-time windows, heap state, object reuse, heap 2 GB"
_FLINK_PLAIN = "none: no checkpoints, a failed job begins again"
_STREAMS = "changelogs on, cache 64 MB, max.poll.records 10,000, heap 2 GB"
_STREAMS_PROMISE = "at least once; state restored from changelog topics"
_BYTEWAX = "KafkaSource, batches of 10,000, msgspec, one worker, recovery off"
_PATHWAY = "mode static, JSON parsed by its connector, groupby and count"

VARIANTS = (
    Variant("ours", "one worker", "ours", _OURS, _OURS_PROMISE),
    Variant("ours", "one worker, one core", "ours", f"{_OURS}; kept to one core (Linux)", _OURS_PROMISE),
    Variant("ours", "two workers", "ours", f"{_OURS}; two processes of one group", _OURS_PROMISE, workers=2),
    *(Variant("librdkafka", name, "librdkafka", _RDKAFKA, AT_LEAST_ONCE, checked) for name, checked in _STEPS),
    *(Variant("aiokafka", name, "aiokafka_getmany", _AIOKAFKA, AT_LEAST_ONCE, checked) for name, checked in _STEPS),
    Variant("flink", "cold", "2 0 1", _FLINK, _FLINK_PLAIN, timed_from="JVM start"),
    Variant("flink", "warm", "2 0 3", f"{_FLINK}; third job of a JVM", _FLINK_PLAIN, timed_from="job submitted"),
    Variant(
        "flink",
        "checkpoints",
        "2 2 1",
        f"{_FLINK}; checkpoints to disk every 2 s",
        "exactly once in its state, by checkpoints",
        timed_from="JVM start",
    ),
    Variant("streams", "DSL in memory", "1 memory", f"{_STREAMS}, one thread", _STREAMS_PROMISE),
    Variant("streams", "DSL RocksDB", "1 rocksdb", f"{_STREAMS}, one thread", _STREAMS_PROMISE),
    Variant("streams", "processor", "1 processor", f"{_STREAMS}, one thread", _STREAMS_PROMISE),
    Variant("streams", "processor, 2 threads", "2 processor", _STREAMS, _STREAMS_PROMISE),
    Variant("bytewax", "count_final", "bytewax_counts", _BYTEWAX, "none with recovery off", timed_from="first records"),
    Variant(
        "bytewax", "shard", "bytewax_counts", f"{_BYTEWAX}, a dict per shard in its state", "none with recovery off"
    ),
    Variant("bytewax", "flat", "bytewax_counts", f"{_BYTEWAX}, dicts outside its state", "none: a recovery loses them"),
    *(
        Variant("pathway", name, "pathway_counts", _PATHWAY, "none with persistence off", timed_from="job start")
        for name in ("one thread", "two threads")
    ),
    Variant(
        "quix",
        "state",
        "quix_counts",
        "stateful update by pin, RocksDB, no changelog, commits every 5 s",
        "at least once; state on disk",
        events_at_most=100_000,
    ),
    Variant("faust", "dict", "faust_as_it_ships", "one event a turn, msgspec", AT_LEAST_ONCE, events_at_most=40_000),
    Variant(
        "faust",
        "table",
        "faust_as_it_ships",
        "one event a turn, two Tables in memory with changelogs",
        "at least once; state restored from changelog topics",
        events_at_most=10_000,
    ),
)
ENGINES = tuple(dict.fromkeys(variant.engine for variant in VARIANTS))
#: Engines in an environment of their own, by ``requirements/peers-NAME.txt``.
APART = ("bytewax", "pathway", "quix")
JAVA = ("flink", "streams")
