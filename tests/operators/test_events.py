"""The documentation of events says what the code does: every example decodes, every code is in the table."""

import json
import re
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from operators.batch import Records, Reject, Source
from operators.decode import decode_engagement, decode_events
from operators.events import ENGAGEMENT_TOPICS, EVENTS, SaveEvent
from operators.rejection import SENTENCES, Reason, Warned
from streams import schema
from streams.dead_letters import MAX_VALUE, decode_dead_letter, encode_dead_letter
from streams.settings import PROJECT

DOCUMENT = (PROJECT / "docs" / "events.md").read_text()


def examples() -> list[tuple[str, str]]:
    """Topic and JSON of every example."""
    found: list[tuple[str, str]] = []
    for section in re.split(r"^### ", DOCUMENT, flags=re.MULTILINE)[1:]:
        topic = section.partition("`")[2].partition("`")[0]
        found += [(topic, block) for block in re.findall(r"```json\n(.*?)\n```", section, re.DOTALL)]
    return found


EXAMPLES = examples()
MESSAGE_OF = {topic: msgspec.json.Decoder(message, strict=True) for topic, message in schema.MESSAGES.items()}


def test_every_topic_has_an_example_and_a_row() -> None:
    assert {topic for topic, _ in EXAMPLES} == set(schema.MESSAGES)
    rows = re.findall(r"^\| `([a-z.]+)` \| (?:in|inside|out) \|", DOCUMENT, re.MULTILINE)
    assert set(rows) == set(schema.MESSAGES)


@pytest.mark.parametrize(("topic", "example"), EXAMPLES)
def test_the_engine_reads_every_example(topic: str, example: str) -> None:
    if topic not in EVENTS:
        MESSAGE_OF[topic].decode(example)
        return
    logged = np.array([1_770_000_600_000])
    records = Records.of(Source(topic, 0, 5, 5), np.array([5]), logged, [example.encode()])
    decoded = decode_engagement(records) if topic in ENGAGEMENT_TOPICS else decode_events(records)
    assert len(decoded.good) == 1, decoded.rejects
    assert not decoded.warnings


@pytest.mark.parametrize(("topic", "example"), EXAMPLES)
def test_every_example_shows_fields_that_exist_and_fits_the_schema(topic: str, example: str) -> None:
    fields: dict[str, Any] = json.loads(example)
    known = {field.encode_name for field in msgspec.structs.fields(schema.MESSAGES[topic])}
    assert set(fields) <= known
    jsonschema.validate(fields, {**schema.schema()["topics"][topic], "$defs": schema.schema()["$defs"]})


@pytest.mark.parametrize("topic", schema.MESSAGES)
def test_every_field_is_explained(topic: str) -> None:
    section = DOCUMENT.partition(f"### `{topic}`\n")[2].partition("\n### ")[0]
    common = {"time", "event_id", "v"} if topic in EVENTS else set()
    for field in msgspec.structs.fields(schema.MESSAGES[topic]):
        assert field.encode_name in common or f"`{field.encode_name}`" in section, field.encode_name


def test_the_committed_schema_is_made_from_the_types() -> None:
    assert schema.FILE.read_text() == schema.text(), "run `python -m streams.schema`"
    jsonschema.Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("bad", [{"pin": 0}, {"position": -1}, {"time": 5}, {"surface": "moon"}, {"board": None}])
def test_the_schema_refuses_what_the_engine_refuses(bad: dict[str, Any]) -> None:
    event = {"time": 1_770_000_000_000, "pinner": 1, "pin": 2, "board": 3}
    validator = jsonschema.Draft202012Validator({**schema.schema(), "$ref": schema.schema()["topics"]["saves"]["$ref"]})
    assert validator.is_valid(event)
    assert not validator.is_valid({**event, **bad})


def test_the_table_of_codes_is_complete() -> None:
    rows = dict(re.findall(r"^\| `([a-z_0-9]+)` \| (.+) \|$", DOCUMENT.partition("## Reason codes")[2], re.MULTILINE))
    assert rows == {str(code): sentence for code, sentence in SENTENCES.items()}
    assert set(SENTENCES) == set(Reason) | set(Warned)


def test_an_event_of_today_reads_in_an_older_reader_and_the_other_way() -> None:
    class Older(msgspec.Struct):
        time: int
        pin: int

    class Newer(SaveEvent, kw_only=True):
        mood: str = ""

    today = SaveEvent(time=1_770_000_000_000, pinner=1, pin=2, board=3)
    assert msgspec.json.decode(msgspec.json.encode(today), type=Older).pin == 2
    assert msgspec.json.decode(msgspec.json.encode(today), type=Newer).mood == ""
    assert msgspec.json.decode(msgspec.json.encode(today), type=SaveEvent) == today


def test_a_dead_letter_keeps_the_record_and_is_the_same_when_written_again() -> None:
    source = Source("saves", 3, 100, 200)
    reject = Reject(150, Reason.BAD_UTF8, "byte 7", b"\xff\x00{", logged=1_770_000_000_000)
    key, message = encode_dead_letter(source, reject)
    letter = decode_dead_letter(message)
    assert (letter.topic, letter.partition, letter.offset) == ("saves", 3, 150)
    assert (letter.reason, letter.detail, letter.logged) == ("bad_utf8", "byte 7", 1_770_000_000_000)
    assert (letter.value, letter.size, letter.id) == (b"\xff\x00{", 3, key)
    # Read again from another range of offsets, it is still the same record.
    assert encode_dead_letter(Source("saves", 3, 150, 900), reject) == (key, message)
    others = [(Source("saves", 3, 0, 9), 151), (Source("saves", 4, 0, 9), 150), (Source("clicks", 3, 0, 9), 150)]
    assert key not in {encode_dead_letter(where, Reject(at, "empty", "", None))[0] for where, at in others}


def test_a_dead_letter_of_a_large_record_is_cut() -> None:
    _, message = encode_dead_letter(Source("pins", 0, 0, 0), Reject(0, Reason.BAD_JSON, "", b"x" * 3_000_000))
    letter = decode_dead_letter(message)
    assert letter.size == 3_000_000
    assert letter.value == b"x" * MAX_VALUE
    assert len(message) < 1_000_000, "Kafka's default limit"
    empty = decode_dead_letter(encode_dead_letter(Source("pins", 0, 0, 0), Reject(0, Reason.EMPTY, "", None))[1])
    assert (empty.value, empty.size) == (None, 0)
