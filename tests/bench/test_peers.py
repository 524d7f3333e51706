"""The peers' bench: its truth is the truth, ours counts any JSON, wrong counts are called wrong."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.peers import job, log, report
from bench.peers.answer import Question
from bench.peers.engines.ours_decode import TYPES, Counting
from bench.peers.running import Run, command, run
from bench.peers.variants import VARIANTS
from operators.batch import Records, Source
from streams.settings import Settings

EVENTS = 20_000


def records(values: list[bytes | None]) -> Records:
    n = len(values)
    return Records.of(Source("events", 0, 0, n - 1), np.arange(n), np.zeros(n, np.int64), values)


def counted(values: list[bytes | None]) -> tuple[job.Counts, int]:
    counting = Counting()
    for part in range(0, len(values), 1000):
        counting.count(records(values[part : part + 1000]))
    pins = {(pin, TYPES[kind], minute): count for pin, kind, minute, count in counting.tables.pins()}
    domains = {(domain, TYPES[kind]): count for domain, kind, count in counting.tables.domains()}
    return job.Counts(pins, domains), counting.rejected


def test_the_truth_is_what_a_recount_gives() -> None:
    made = job.events(5_000)
    messages = list(made.messages())
    assert made.counts() == job.recount(value for _, _, value in messages)
    partitions = Counter(partition for partition, _, _ in messages)
    assert len(partitions) == job.PARTITIONS and max(partitions.values()) > 1.2 * min(partitions.values())
    assert 120 < sum(len(value) for _, _, value in messages) / len(messages) < 135
    homes = {(key, partition) for partition, key, _ in messages}
    assert len(homes) == len({key for key, _ in homes}), "a key stays in one partition"


def test_same_seed_same_events() -> None:
    assert list(job.events(100).messages()) == list(job.events(100).messages())
    assert list(job.events(100).messages()) != list(job.events(100, seed=5).messages())


def test_ours_counts_any_json() -> None:
    plain = [value for _, _, value in job.events(3_000).messages()]
    values = list(plain)
    for number, value in enumerate(plain):
        event = json.loads(value)
        if number % 7 == 0:
            values[number] = json.dumps(dict(reversed(event.items())), indent=1).encode()
        elif number % 7 == 1:
            event["domain"] = "bücher" + event["domain"]
            values[number] = json.dumps(event, ensure_ascii=number % 2 == 0).encode()
        elif number % 7 == 2:
            values[number] = json.dumps(event | {"extra": [{"deep": 1.5e3}], "note": 'a "quote"'}).encode()
        elif number % 7 == 3:
            values[number] = value.replace(b"site", b"s\\u0069te")
        elif number % 7 == 4:
            values[number] = json.dumps(event | {"domain": str(number % 5)}).encode()  # text of digits alone
    found, rejected = counted(list(values))
    assert rejected == 0
    assert found == job.recount(values)


def test_ours_rejects_what_is_no_event() -> None:
    good = b'{"type":"save","pin":7,"domain":"a.example","time":1770000000000}'
    bad: list[bytes | None] = [
        None,
        b"",
        b"[]",
        good[:-1],
        good.replace(b"save", b"gone"),
        good.replace(b"7,", b"-7,"),
        good.replace(b"a.example", b"a\xff"),
        good.replace(b"}", b',"note":"\xff"}'),
        b'{"type":"save","pin":7,"time":1770000000000}',
    ]
    found, rejected = counted([*bad, good])
    assert rejected == len(bad)
    assert found == job.recount([good])


def test_tables_grow() -> None:
    values: list[bytes | None] = [
        b'{"type":"hide","pin":%d,"domain":"%d.some-longer-name.example","time":%d}' % (pin, pin % 3_000, 60_000 * pin)
        for pin in range(1, 60_001)
    ]
    found, rejected = counted(values)
    assert rejected == 0
    assert found == job.recount(value for value in values if value)


@pytest.mark.real
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_ours_and_a_peer_count_right(kafka: Settings, tmp_path: Path, codec: str) -> None:
    made, topic = job.events(EVENTS), f"peers-{codec}"
    log.fill(kafka.kafka_bootstrap, topic, made.messages(), codec)
    totals = np.bincount(made.partition, minlength=job.PARTITIONS).tolist()
    chosen = [
        each for each in VARIANTS if (each.engine, each.name) in (("ours", "one worker"), ("librdkafka", "count"))
    ]
    assert len(chosen) == 2
    for variant in chosen:
        group = f"peers-{codec}-{variant.engine}"
        asked = command(variant, tmp_path, print)
        question = Question(kafka.kafka_bootstrap, topic, EVENTS, job.PARTITIONS, group, "", "", variant.name, totals)
        taken = run(asked, question, 1, made.counts())
        assert taken.right, variant
        assert taken.events_per_second > 0 and taken.rss_mib > 0
        if variant.engine == "librdkafka" and codec == "none":
            other = job.events(EVENTS, seed=9).counts()
            assert not run(asked, replace(question, group=f"{group}-2"), 1, other).right, "not its truth"


def result(engine: str, name: str, *runs: Run, failure: str = "") -> report.Result:
    (variant,) = (each for each in VARIANTS if (each.engine, each.name) == (engine, name))
    return report.Result(variant, 1_000, list(runs), failure)


def test_what_is_found_is_shown() -> None:
    results = [
        result(
            "ours", "one worker", *(Run(rate, 300.0, 2.0, 2.5, True) for rate in (900_000.0, 1_200_000.0, 1_000_000.0))
        ),
        result("flink", "warm", Run(400_000.0, 1_100.0, 2.0, 2.5, True)),
        result("faust", "dict", Run(10_000.0, 100.0, 2.0, 2.5, False)),
        result("quix", "state", failure="skipped: no wheel"),
        result("librdkafka", "fetch", Run(800_000.0, 200.0, 2.0, 2.5, True)),
    ]
    shown = report.text(results).splitlines()
    assert "1,000,000" in shown[1] and "1.000" in shown[1] and shown[1].endswith("exact")
    assert "0.400" in shown[2] and shown[2].endswith("exact")
    assert shown[3].endswith("WRONG")
    assert "skipped: no wheel" in shown[4]
    assert shown[5].endswith("events"), "what counts nothing is not called exact"
    assert "two workers of ours" not in report.text(results)
    both = [*results, result("ours", "two workers", Run(1_700_000.0, 600.0, 2.0, 4.0, True))]
    assert report.text(both).endswith("two workers of ours: 1.70 × one worker")
    figures = report.document(results, {"rounds": 3})["figures"]
    assert [one["ratio_to_ours"] for one in figures] == [1.0, 0.4, 0.01, 0.0, 0.8]
    assert figures[0]["guarantee"] and figures[0]["settings"]
    drawing = ET.fromstring(report.chart(results, "events & so on"))  # it must be well-formed
    words = " ".join(element.text or "" for element in drawing.iter())
    assert "ours, one worker" in words and "WRONG" in words and "quix" not in words
