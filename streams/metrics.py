"""Metrics: everything the engine tells Prometheus, in one place, one registry an engine."""

from __future__ import annotations

import platform
from collections import Counter as Counted
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from operators.batch import Engagement
from operators.events import EVENTS
from operators.slate.slate import Slate
from operators.slate.utility import ACTIONS
from streams.circuit import Circuit, State
from streams.expectations import Expectations

# Without this every series has a second one with the time of its birth, which nothing here reads.
disable_created_metrics()

OUTCOMES = ("counted", "duplicate", "rejected")
PARTS = ("clickhouse", "kafka", "milvus", "triton")

#: The value of ``degraded`` for a slate that every part helped to build.
WHOLE = "none"

#: Seconds. Freshness is promised within 0.25 s and 1 s (by load), so the buckets are close together up to there.
FRESHNESS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 10, 30, 60)
STEP_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def _release() -> str:
    try:
        return version("pinstream")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


class Metrics:
    """What agents, stores, the slate builder and the API count. Every engine has its own registry.

    ``# HELP`` of each metric is its documentation; ``GET /metrics`` shows them all.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry, buckets=STEP_BUCKETS)

        self._events = counter("pinstream_events", "Events read, by what became of them.", ["topic", "outcome"])
        self._warnings = counter("pinstream_warnings", "Events used although something was odd.", ["reason"])
        self._dead = counter("pinstream_dead_letters", "Records sent to dead.letters.", ["reason"])
        self._batch = histogram("pinstream_batch_seconds", "Time of one step of one batch.", ["topic", "step"])
        self._lag = Gauge(
            "pinstream_lag_events", "Events that this worker has yet to read.", ["topic"], registry=self.registry
        )
        self._freshness = histogram(
            "pinstream_freshness_seconds",
            "From an event reaching Kafka to the slate that it triggered.",
            buckets=FRESHNESS_BUCKETS,
        )
        self._slates = counter("pinstream_slates", "Slates built, by what they had to do without.", ["degraded"])
        self._failed_slates = counter("pinstream_slates_failed", "Slates that could not be built; the log says why.")
        gauge = partial(Gauge, registry=self.registry)
        self._circuit = gauge(
            "pinstream_circuit_open", "1 while feeds do without the part, as it failed or was too slow.", ["part"]
        )
        self._waiting = gauge("pinstream_waiting", "Rows or slates that wait in memory for ClickHouse.", ["queue"])
        self._corrupt = gauge(
            "pinstream_corrupt_partitions", "Partitions that stand still: a batch of theirs cannot be read.", ["topic"]
        )
        self._part_up = gauge(
            "pinstream_part_up", "1 where the worker's own question to the part is answered.", ["part"]
        )
        self._rung = gauge("pinstream_rung", "1 for the rung of the ladder that the worker stands on.", ["rung"])
        self._stage_items = counter(
            "pinstream_stage_items", "Candidates into and out of a stage of a slate.", ["stage", "direction"]
        )
        self._stage_seconds = histogram("pinstream_stage_seconds", "Time of one stage of one slate.", ["stage"])
        #: What the ranker expected of a sample of slates, to tell it beside what pinners did.
        self.expectations = Expectations()
        self._expected = counter(
            "pinstream_actions_expected", "Actions that the ranker expected of pins that were looked at.", ["action"]
        )
        self._observed = counter(
            "pinstream_actions_observed", "Actions on pins of the same slates, each once.", ["action"]
        )
        self._places = counter(
            "pinstream_slate_places", "Places of slates by the source that proposed the pin.", ["source"]
        )
        self._shares = counter(
            "pinstream_slate_shares", "Shares of the candidates that sources were given, of all slates.", ["source"]
        )
        self._explored = counter("pinstream_slate_places_explored", "Places given to pins that too few have seen.")
        self._all_places = counter("pinstream_slate_places_filled", "Places of slates.")
        self._records = counter(
            "pinstream_slate_records", "Slates whose making was recorded, or could not be.", ["outcome"]
        )
        self._record_bytes = counter("pinstream_slate_record_bytes", "Bytes of what slates were made from.")
        self._spec_refused = gauge(
            "pinstream_spec_refused", "1 while the spec that is there cannot be used and the one before goes on."
        )
        self._spec_read = counter("pinstream_spec_reads", "Specs read, by what became of them.", ["outcome"])
        self._spec = Info("pinstream_spec", "The spec that slates are made with.", registry=self.registry)
        self._pins = counter("pinstream_pins_understood", "Pins whose image was detected, encoded and stored.")
        self._unscored = counter(
            "pinstream_pins_unscored", "Understood pins that the safety model did not judge, so no filter knows them."
        )
        self._unjudged = gauge(
            "pinstream_pins_to_judge", "Understood pins without a safety score that are judged in the background."
        )
        self._unconvolved = gauge(
            "pinstream_pins_to_convolve", "Pins that wait for a new PinSage vector, as this worker knows of them."
        )
        self._learned = gauge("pinstream_learned_bytes", "Bytes of the file that keeps what this worker has learned.")
        self._objects = counter("pinstream_objects", "Objects found in understood pins.")
        self._requests = counter(
            "pinstream_requests", "HTTP answers by route (empty where none takes the request).", ["route", "status"]
        )
        self._store_errors = counter("pinstream_store_errors", "Calls that an outside part failed.", ["part"])
        self._store_seconds = histogram(
            "pinstream_store_seconds", "Time of one call to an outside part.", ["part", "call"]
        )
        Info("pinstream_build", "What runs.", registry=self.registry).info(
            {"version": _release(), "python": platform.python_version()}
        )
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        # A series that starts at 0 lets rate() see its first increase.
        for topic in EVENTS:
            for outcome in OUTCOMES:
                self._events.labels(topic, outcome)
        for part in PARTS:
            self._store_errors.labels(part)
        self._slates.labels(WHOLE)
        for action in ACTIONS:
            self._expected.labels(action)
            self._observed.labels(action)
        for queue in ("engagement", "slates"):
            self._waiting.labels(queue)

    def events(self, topic: str, *, counted: int = 0, duplicate: int = 0, rejected: int = 0) -> None:
        """Events of a batch by outcome; together they are the records that were read."""
        for outcome, count in zip(OUTCOMES, (counted, duplicate, rejected), strict=True):
            self._events.labels(topic, outcome).inc(count)

    def warnings(self, by_reason: Mapping[str, int]) -> None:
        """Warnings of a batch, e.g. ``Decoded.warnings``."""
        for reason, count in by_reason.items():
            self._warnings.labels(reason).inc(count)

    def dead_letters(self, reason: str, count: int = 1) -> None:
        self._dead.labels(reason).inc(count)

    @contextmanager
    def batch_step(self, topic: str, step: str) -> Generator[None]:
        """Time a step of a batch, whether it succeeds or not."""
        began = perf_counter()
        try:
            yield
        finally:
            self._batch.labels(topic, step).observe(perf_counter() - began)

    def lag(self, topic: str, events: int) -> None:
        """Events of all this worker's partitions of a topic that are still to be read."""
        self._lag.labels(topic).set(events)

    def freshness(self, seconds: float | Iterable[float]) -> None:
        """Age of the trigger when its slate was emitted; one or many, in seconds."""
        for value in (seconds,) if isinstance(seconds, (int, float)) else seconds:
            self._freshness.observe(value)

    def slates(self, degraded: Sequence[str], count: int = 1) -> None:
        """Slates built, with the parts or sources that they had to do without."""
        self._slates.labels("+".join(sorted(set(degraded))) or WHOLE).inc(count)

    def sent(self, slates: Sequence[Slate]) -> None:
        """Slates that went out: what the ranker expects of their pins."""
        self.expectations.sent(slates)

    def engaged(self, engagement: Engagement) -> None:
        """Events that were folded: what was expected of those of remembered slates, and what happened."""
        expected, observed = self.expectations.seen(engagement)
        for action in ACTIONS:
            self._expected.labels(action).inc(expected[action])
            self._observed.labels(action).inc(observed[action])

    def failed_slates(self, count: int) -> None:
        """Slates that were due and could not be built."""
        self._failed_slates.inc(count)

    def circuit(self, circuit: Circuit) -> None:
        """What a circuit is now; also its :attr:`~streams.circuit.Circuit.on_change`."""
        self._circuit.labels(circuit.part).set(circuit.state is not State.CLOSED)

    def waiting(self, queue: str, count: int) -> None:
        """How many rows of ``engagement`` or how many ``slates`` wait for ClickHouse."""
        self._waiting.labels(queue).set(count)

    def corrupt(self, topic: str, partitions: int) -> None:
        """Partitions of a topic that wait before a batch that cannot be read."""
        self._corrupt.labels(topic).set(partitions)

    def ladder(self, rung: str, rungs: Iterable[str], up: Mapping[str, bool]) -> None:
        """The rung that the worker stands on, of all ``rungs``, and which parts answer."""
        for each in rungs:
            self._rung.labels(each).set(each == rung)
        for part, answers in up.items():
            self._part_up.labels(part).set(answers)

    def stage(self, stage: str, entered: int, left: int, seconds: float) -> None:
        """What one stage of a slate was given, what it let through and how long it took."""
        self._stage_items.labels(stage, "in").inc(entered)
        self._stage_items.labels(stage, "out").inc(left)
        self._stage_seconds.labels(stage).observe(seconds)

    def places(self, slates: Sequence[Slate]) -> None:
        """Who proposed the pins of slates, how the candidates were shared, and what was explored."""
        items = [item for slate in slates for item in slate.items]
        shares = Counted[str]()
        for slate in slates:
            shares.update(slate.shares)
        for source, share in shares.items():
            self._shares.labels(source).inc(share)
        # Summed first: a label costs more than a sum.
        for source, places in Counted(source for item in items for source in item.sources).items():
            self._places.labels(source).inc(places)
        self._all_places.inc(len(items))
        self._explored.inc(sum(item.explored for item in items))

    def recorded(self, slates: int, size: int) -> None:
        """Slates whose records are in ClickHouse, and their bytes."""
        self._records.labels("written").inc(slates)
        self._record_bytes.inc(size)

    def unrecorded(self, slates: int) -> None:
        """Slates whose records found no place while ClickHouse did not take them."""
        self._records.labels("dropped").inc(slates)

    def spec(self, version: str, *, refused: bool) -> None:
        """A spec was read: whether it serves, and the version that does."""
        self._spec_read.labels("refused" if refused else "taken").inc()
        self._spec_refused.set(refused)
        self._spec.info({"version": version})

    def understood(self, pins: int, objects: int, unscored: int = 0) -> None:
        """Pins that vision has stored, the objects found in them, and how many of the pins have no safety score."""
        self._pins.inc(pins)
        self._objects.inc(objects)
        self._unscored.inc(unscored)

    def unjudged(self, pins: int) -> None:
        """Pins that wait for the safety model, as the worker that leads knows it."""
        self._unjudged.set(pins)

    def unconvolved(self, pins: int) -> None:
        """Pins that wait for a PinSage vector."""
        self._unconvolved.set(pins)

    def learned(self, size: int) -> None:
        """What was learned is in its file, which has so many bytes."""
        self._learned.set(size)

    def request(self, route: str, status: int) -> None:
        """One HTTP answer. ``route`` is as the OpenAPI document has it, empty where there is none."""
        self._requests.labels(route, str(status)).inc()

    def store_error(self, part: str) -> None:
        """A call to an outside part failed and will be tried again or done without."""
        self._store_errors.labels(part).inc()

    @contextmanager
    def store(self, part: str, call: str) -> Generator[None]:
        """Time a call to an outside part (one of ``PARTS``), whether it succeeds or not.

        Errors are counted by whoever handles them, with :meth:`store_error`.
        """
        began = perf_counter()
        try:
            yield
        finally:
            self._store_seconds.labels(part, call).observe(perf_counter() - began)

    def exposition(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self.registry)
