"""Quix Streams 3: a stateful dataframe keyed by pin (the log's key), its state in RocksDB, no changelog topic.

A pin's state holds its counts by (type, minute) and by (domain, type); the totals are added up at the end.
"""

from __future__ import annotations

import logging
from typing import Any

from quixstreams import Application, State

from bench.peers.answer import MINUTE, Question, Watch, answer

SETTINGS = {"fetch.queue.backoff.ms": 5, "queued.min.messages": 500_000}


def main() -> None:
    question = Question.asked()
    logging.disable(logging.WARNING)
    app = Application(
        broker_address=question.broker,
        consumer_group=question.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        state_dir=question.scratch,
        use_changelog_topics=False,
        consumer_extra_config=SETTINGS,
        commit_interval=5.0,
    )
    topic = app.topic(question.topic, key_deserializer="str", value_deserializer="json")
    watch = Watch()
    latest: dict[str, dict[str, int]] = {}

    def count(event: dict[str, Any], key: Any, timestamp: int, headers: Any, state: State) -> None:
        pin, kind = key, event["type"]
        counts = state.get("counts") or {}
        for name in (f"{pin}\t{kind}\t{event['time'] // MINUTE}", f"{event['domain']}\t{kind}"):
            counts[name] = counts.get(name, 0) + 1
        state.set("counts", counts)
        latest[pin] = counts
        watch.saw(1)
        if watch.seen == question.events:
            watch.stop()
            app.stop()

    app.dataframe(topic).update(count, stateful=True, metadata=True)
    app.run()
    totals: dict[str, int] = {}
    for counts in latest.values():
        for name, value in counts.items():
            totals[name] = totals.get(name, 0) + value
    answer(watch, question, (f"{name}\t{value}" for name, value in totals.items()))


if __name__ == "__main__":
    main()
