"""Pathway 0.33: its Kafka connector parses the JSON in Rust, two ``groupby`` tables count; ``PATHWAY_THREADS`` threads.

``mode="static"`` reads what the log holds and ends.
"""

from __future__ import annotations

import os

from bench.peers.answer import MINUTE, Question, Watch, answer

THREADS = {"one thread": "1", "two threads": "2"}


def main() -> None:
    question = Question.asked()
    os.environ["PATHWAY_THREADS"] = THREADS[question.variant]
    import pathway as pw  # reads the number of threads when it is imported

    class Event(pw.Schema):
        type: str
        pin: int
        domain: str
        time: int

    watch = Watch()
    counts: dict[str, dict[str, int]] = {"pins": {}, "domains": {}}
    events = pw.io.kafka.read(
        {
            "bootstrap.servers": question.broker,
            "group.id": question.group,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": "5",
            "queued.min.messages": "500000",
        },
        question.topic,
        schema=Event,
        format="json",
        mode="static",
        autocommit_duration_ms=1_000,
    )
    timed = events.select(pw.this.pin, pw.this.type, pw.this.domain, minute=pw.this.time // MINUTE)
    pins = timed.groupby(pw.this.pin, pw.this.type, pw.this.minute).reduce(
        pw.this.pin, pw.this.type, pw.this.minute, count=pw.reducers.count()
    )
    domains = timed.groupby(pw.this.domain, pw.this.type).reduce(
        pw.this.domain, pw.this.type, count=pw.reducers.count()
    )

    def on_pin(key, row, time, is_addition):  # type: ignore[no-untyped-def]
        if is_addition:
            counts["pins"][f"{row['pin']}\t{row['type']}\t{row['minute']}"] = row["count"]

    def on_domain(key, row, time, is_addition):  # type: ignore[no-untyped-def]
        if is_addition:
            counts["domains"][f"{row['domain']}\t{row['type']}"] = row["count"]

    pw.io.subscribe(pins, on_pin)
    pw.io.subscribe(domains, on_domain)
    watch.saw(0)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    watch.seen = sum(counts["domains"].values())
    watch.stop()
    answer(watch, question, *([f"{key}\t{count}" for key, count in table.items()] for table in counts.values()))


if __name__ == "__main__":
    main()
