"""Dead letters, end to end: what a worker set aside is found, told apart, mended, sent back, and counted once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition

from streams.cli import main
from streams.dead_letter_log import LETTERS, REDRIVEN, Entry, Wanted, messages, read_letters
from streams.redrive import ATTEMPT_HEADER, POSITION_HEADER, edit_fields, redrive
from streams.redrive_sender import RedriveFailed, Sender
from streams.settings import Settings
from tests.integration.running import Worker, until

pytestmark = pytest.mark.real


class Bad:
    """Records of one test, told from all others by a word that stands in each."""

    def __init__(self, worker: Worker) -> None:
        self.worker, self.settings = worker, worker.settings
        self.word = f"w{time.time_ns()}"
        self.before = int(time.time() * 1000)

    def send(self, *values: bytes, topic: str = "saves", key: bytes = b"77", headers: Any = None) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap, "message.max.bytes": 16_000_000})
        for value in values:
            producer.produce(topic, value, key, headers=headers)
        assert producer.flush(30) == 0

    def save(self, **fields: Any) -> bytes:
        event = {"time": int(time.time() * 1000), "pinner": 77, "pin": 7_700_001, "board": 1, "note": self.word}
        return json.dumps({**event, **fields}).encode()

    def wanted(self, **more: Any) -> Wanted:
        return Wanted(text=self.word, **more)

    def letters(self, **more: Any) -> list[Entry]:
        return list(read_letters(self.settings, self.wanted(**more)))

    def await_letters(self, count: int, **more: Any) -> list[Entry]:
        until(f"{count} letters", lambda: len(self.letters(**more)) >= count, 30)
        return self.letters(**more)

    def stored(self, pin: int) -> int:
        return int(self.worker.query(f"SELECT count() AS n FROM engagement WHERE pin = {pin}")["n"][0])

    def all_read(self) -> None:
        """Whatever was sent before has been taken up: a later event of each partition is stored."""
        marker = time.time_ns()
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap})
        for partition in range(4):
            event = {
                "time": int(time.time() * 1000),
                "pinner": 5,
                "pin": marker,
                "board": 1,
                "event_id": marker + partition,
            }
            producer.produce("saves", json.dumps(event).encode(), partition=partition)
        assert producer.flush(30) == 0
        until("later events are stored", lambda: self.stored(marker) == 4, 60)


@pytest.fixture
def bad(worker: Worker) -> Bad:
    return Bad(worker)


@pytest.fixture
def cli(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs a ``pinstream dead-letters`` command and returns its output."""
    monkeypatch.setenv("PINSTREAM_HOME", str(worker.settings.home))
    monkeypatch.setenv("PINSTREAM_PORT_BASE", str(worker.settings.port_base))
    monkeypatch.setenv("PINSTREAM_GROUP", worker.settings.group)

    def run(*arguments: str, status: int = 0, answer: str | None = None) -> str:
        done = CliRunner().invoke(main, ["dead-letters", *arguments], input=answer)
        assert done.exit_code == status, (done.output, done.exception)
        return done.output

    yield run


def record_at(settings: Settings, topic: str, partition: int, offset: int) -> Any:
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "test-look"})
    consumer.assign([TopicPartition(topic, partition, offset)])
    message = consumer.poll(10)
    consumer.close()
    assert message is not None and message.offset() == offset
    return message


def copies(bad: Bad) -> list[Any]:
    """The notes about this test's letters."""
    mine = {entry.letter.id for entry in bad.letters(redriven=True)}
    notes = [json.loads(message.value()) for message in messages(bad.settings, REDRIVEN)]
    return [note for note in notes if note["id"] in mine]


def test_letters_are_listed_filtered_shown_and_counted(bad: Bad, cli: Any) -> None:
    bad.send(bad.save(board=None), bad.save(time="soon"), b"{" + bad.word.encode(), b"\xff" + bad.word.encode())
    bad.send(f'["{bad.word}"]'.encode(), topic="clicks")
    entries = bad.await_letters(5)
    assert Counter(entry.letter.reason for entry in entries) == {
        "wrong_type": 2, "bad_json": 1, "bad_utf8": 1, "not_an_object": 1,
    }  # fmt: skip
    listed = [json.loads(line) for line in cli("list", "--json", "--text", bad.word).splitlines()]
    assert [each["id"] for each in listed] == [entry.letter.id for entry in entries]
    assert all(not each["redriven"] and each["attempt"] == 0 for each in listed)
    by_reason = cli("list", "--text", bad.word, "--reason", "bad_utf8", "--reason", "not_an_object").splitlines()
    assert len(by_reason) == 3 and "not_an_object" in "".join(by_reason), by_reason
    assert len(cli("list", "--json", "--text", bad.word, "--topic", "clicks").splitlines()) == 1
    assert len(cli("list", "--json", "--text", bad.word, "--limit", "2").splitlines()) == 2
    first = next(entry.letter for entry in entries if entry.letter.topic == "saves")
    at = f"{first.offset}-{first.offset}"
    filters = ("--topic", "saves", "--partition", str(first.partition), "--offsets", at)
    assert [json.loads(cli("list", "--json", "--text", bad.word, *filters))["offset"]] == [first.offset]
    assert cli("list", "--text", bad.word, "--until", "1h").strip() == "no dead letters"
    assert len(cli("list", "--json", "--text", bad.word, "--since", "1h").splitlines()) == 5

    shown = cli("show", f"saves:{first.partition}:{first.offset}")
    assert first.reason in shown and bad.word in shown
    raw = next(entry.letter for entry in entries if entry.letter.reason == "bad_utf8")
    assert "ff 77" in cli("show", f"saves:{raw.partition}:{raw.offset}"), "no UTF-8, so hex"
    assert "no dead letter about" in cli("show", "saves:0:999999999", status=1)

    counted = json.loads(cli("stats", "--json", "--text", bad.word))
    assert counted["letters"] == 5 and sum(counted["by_day"].values()) == 5
    assert {"topic": "saves", "reason": "wrong_type", "letters": 2} in counted["by_reason"]
    assert "5 in all" in cli("stats", "--text", bad.word)


def test_mended_letters_count_once_however_often_they_are_redriven(bad: Bad, cli: Any) -> None:
    pin = time.time_ns()
    # Without event_id, with one, and one with a header of its own.
    bad.send(bad.save(pin=pin, board=-1), bad.save(pin=pin, board=-1, event_id=pin + 1))
    bad.send(bad.save(pin=pin, board=-1, event_id=pin + 2), headers=[("trace", b"abc")])
    bad.await_letters(3)
    mend = ("redrive", "--text", bad.word, "--set", "board=8")
    assert "3 of 3 letters would be sent" in cli(*mend, "--dry-run")
    assert not copies(bad), "a dry run sends nothing"
    cli(*mend, answer="n\n", status=1)
    assert not copies(bad), "nor does a no"
    assert "3 of 3 letters sent: 3 to saves" in cli(*mend, answer="y\n")
    until("all are stored", lambda: bad.stored(pin) == 3, 30)
    for _ in range(2):
        assert json.loads(cli(*mend, "--yes", "--json")) == {"wanted": 0, "sent": 0, "by_topic": {}, "left_out": {}}
    bad.all_read()
    assert bad.stored(pin) == 3
    assert int(bad.worker.query(f"SELECT sum(saves) AS n FROM engagement_by_pin WHERE pin = {pin}")["n"][0]) == 3
    assert not bad.letters() and len(bad.letters(redriven=True)) == 3
    notes = copies(bad)
    assert len(notes) == 3
    seen: list[Any] = []
    for note in notes:
        record = record_at(bad.settings, "saves", note["partition"], note["copy_offset"])
        headers = dict(record.headers())
        assert record.key() == b"77" and json.loads(record.value())["board"] == 8
        assert headers[POSITION_HEADER] == f"saves:{note['partition']}:{note['offset']}".encode()
        assert headers[ATTEMPT_HEADER] == b"1"
        seen += [headers.get("trace")]
    assert seen.count(b"abc") == 1, "a record keeps its own headers"


def test_an_event_that_counted_otherwise_meanwhile_does_not_count_again(bad: Bad) -> None:
    """The producer mended and sent it too: by its name, or by what it says, it is the same event."""
    pin = time.time_ns()
    named, nameless = bad.save(pin=pin, event_id=pin), bad.save(pin=pin)
    bad.send(named.replace(b'"board": 1', b'"board": -1'), nameless.replace(b'"board": 1', b'"board": -1'))
    bad.await_letters(2)
    bad.send(named, nameless)
    until("both count", lambda: bad.stored(pin) == 2, 30)
    assert redrive(bad.settings, bad.wanted(), edit=edit_fields({"board": 1})).sent == 2
    bad.all_read()
    assert bad.stored(pin) == 2


def test_what_stays_unreadable_never_loops(bad: Bad) -> None:
    bad.send(b"[" + bad.word.encode(), bad.save(board=-1))
    bad.await_letters(2)
    account = redrive(bad.settings, bad.wanted())
    assert account.sent == 2 and not account.left_out
    came_back = until("they come back", lambda: [e for e in bad.letters() if e.attempt == 1], 30)
    until("both come back", lambda: len(bad.letters()) == 2, 30)
    assert {entry.letter.reason for entry in bad.letters()} == {"not_an_object", "bad_id"}
    assert came_back[0].letter.id not in {note["id"] for note in copies(bad)}
    # Left alone unless asked for …
    for _ in range(3):
        again = redrive(bad.settings, bad.wanted())
        assert again.sent == 0 and again.left_out.total() == again.wanted == 2
    bad.all_read()
    assert len(bad.letters()) == 2 and len(bad.letters(redriven=True)) == 4
    # … and then once, each with its history.
    assert redrive(bad.settings, bad.wanted(), again=True).sent == 2
    until("they come back again", lambda: [e.attempt for e in bad.letters()] == [2, 2], 30)
    assert {note["attempt"] for note in copies(bad)} == {1, 2}


def test_a_copy_of_a_letter_is_one_letter(bad: Bad) -> None:
    """As a worker writes it again after a crash."""
    bad.send(b"[" + bad.word.encode())
    [entry] = bad.await_letters(1)
    original = next(m for m in messages(bad.settings, LETTERS) if m.key() == str(entry.letter.id).encode())
    producer = Producer({"bootstrap.servers": bad.settings.kafka_bootstrap})
    for _ in range(3):
        producer.produce(LETTERS, original.value(), original.key())
    producer.produce(LETTERS, b"no letter at all")
    producer.flush(10)
    assert len(bad.letters()) == 1
    assert redrive(bad.settings, bad.wanted()).sent == 1
    assert not [entry for entry in bad.letters() if entry.attempt == 0]


def test_tombstones_and_what_was_kept_of_nobody_are_not_sent(bad: Bad) -> None:
    producer = Producer({"bootstrap.servers": bad.settings.kafka_bootstrap})
    places: list[tuple[int, int]] = []
    producer.produce("pins", None, b"1", on_delivery=lambda _, m: places.append((m.partition(), m.offset())))
    producer.flush(10)
    [(partition, offset)] = places
    wanted = Wanted(topics=frozenset(["pins"]), partition=partition, first=offset, last=offset)
    until("it is a letter", lambda: list(read_letters(bad.settings, wanted)), 30)
    account = redrive(bad.settings, wanted)
    assert account.sent == 0 and account.left_out == {"nothing is kept of the record": 1}


def test_a_large_record_is_sent_back_whole_while_its_topic_holds_it(bad: Bad) -> None:
    pin = time.time_ns()
    value = bad.save(type="created", pin=pin, description="x" * 200_000, board=-1)
    bad.send(value, topic="pins", key=str(pin).encode())
    [entry] = bad.await_letters(1)
    assert entry.letter.size == len(value) > len(entry.letter.value or b"")
    assert redrive(bad.settings, bad.wanted(), edit=edit_fields({"board": 4})).sent == 1
    [note] = copies(bad)
    record = record_at(bad.settings, "pins", note["partition"], note["copy_offset"])
    assert json.loads(record.value()) == {**json.loads(value), "board": 4}
    assert record.key() != str(pin).encode(), "under the old key, compaction would drop what came since"
    until("the pin is known", lambda: bad.worker.query(f"SELECT pin FROM pins WHERE pin = {pin}"), 30)


def test_an_older_pin_that_is_sent_again_undoes_nothing(bad: Bad) -> None:
    """A letter of pins.accepted sent back after the pin was deleted must not bring it back."""
    pin, now = time.time_ns(), int(time.time() * 1000)
    bad.send(json.dumps({"type": "created", "pin": pin, "time": now}).encode(), topic="pins", key=str(pin).encode())
    bad.send(json.dumps({"type": "deleted", "pin": pin, "time": now + 1}).encode(), topic="pins", key=str(pin).encode())
    version = f"SELECT max(version) AS v FROM pin_vectors WHERE pin = {pin}"
    until("it is gone", lambda: (bad.worker.query(version) or {"v": [0]})["v"][0] == now + 1, 60)
    written = f"SELECT count() AS n FROM pin_vectors WHERE pin = {pin}"
    before = int(bad.worker.query(written)["n"][0])
    bad.send(
        json.dumps({"pin": pin, "version": now, "title": "old"}).encode(), topic="pins.accepted", key=str(pin).encode()
    )
    other = pin + 1
    for partition in range(4):
        producer = Producer({"bootstrap.servers": bad.settings.kafka_bootstrap})
        event = {"pin": other + partition, "version": now, "deleted": True}
        producer.produce("pins.accepted", json.dumps(event).encode(), b"later", partition=partition)
        assert producer.flush(10) == 0
    later = f"SELECT count() AS n FROM pin_vectors WHERE pin >= {other} AND pin < {other + 4}"
    until("later pins are seen", lambda: int(bad.worker.query(later)["n"][0]) == 4, 60)
    assert int(bad.worker.query(written)["n"][0]) <= before, "nothing was written (a merge may join what was there)"


def test_a_redrive_cut_off_anywhere_counts_once(bad: Bad) -> None:
    """Killed between the copies and the notes: the copies were never there, for us or for the worker."""
    pin = time.time_ns()
    bad.send(*(bad.save(pin=pin, board=-1, event_id=pin + n) for n in range(20)))
    entries = bad.await_letters(20)
    sender = Sender(bad.settings)
    sender._producer.begin_transaction()
    for entry in entries:
        mended = edit_fields({"board": 5, "event_id": None})(entry.letter.value or b"")
        sender._producer.produce("saves", mended, b"77", entry.letter.partition)
    assert sender._producer.flush(10) == 0, "the broker holds the copies, uncommitted"
    # Nobody ends that transaction; the next redrive does.
    assert redrive(bad.settings, bad.wanted(), edit=edit_fields({"board": 6})).sent == 20
    until("all count", lambda: bad.stored(pin) == 20, 30)
    bad.all_read()
    stored = bad.worker.query(f"SELECT board, count() AS n FROM engagement WHERE pin = {pin} GROUP BY board")
    assert (stored["board"].tolist(), stored["n"].tolist()) == ([6], [20])


def test_two_redrives_at_once_send_each_letter_once(bad: Bad) -> None:
    pin, count = time.time_ns(), 1500
    bad.send(*(bad.save(pin=pin, board=-1, event_id=pin + n) for n in range(count)))
    bad.await_letters(count)
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(redrive(bad.settings, bad.wanted(), edit=edit_fields({"board": 6, "event_id": None})).sent)
        except RedriveFailed as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join(120)
    assert len(outcomes) == 2
    redrive(bad.settings, bad.wanted(), edit=edit_fields({"board": 6, "event_id": None}))
    notes = copies(bad)
    assert len(notes) == len({note["id"] for note in notes}) == count
    assert len({(note["partition"], note["copy_offset"]) for note in notes}) == count


def test_without_kafka_the_error_names_the_fix(bad: Bad, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSTREAM_PORT_KAFKA", "1")
    monkeypatch.setattr("streams.dead_letter_log.ANSWER_SECONDS", 1.0)
    for arguments in (["stats"], ["redrive", "--yes"]):
        assert "pinstream up" in cli(*arguments, status=1)


def test_letters_are_read_with_the_worker_and_clickhouse_out_of_reach(bad: Bad) -> None:
    bad.send(b"[" + bad.word.encode())
    bad.await_letters(1)
    alone = replace(
        bad.settings, clickhouse="clickhouse://127.0.0.1:1/x", milvus="http://127.0.0.1:1", triton="127.0.0.1:1"
    )
    assert len(list(read_letters(alone, bad.wanted()))) == 1
