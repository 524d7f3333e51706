"""From one encoder to another while pins come and questions are asked: nothing fails, nothing is mixed up."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra import supervisor
from infra.standing import stand_up
from operators.identity import combined_id
from streams.cli.running import environment
from streams.settings import PROJECT, Settings
from streams.stores.milvus import MilvusVectors
from streams.understanding import MOST_OBJECTS, MOST_SIDE
from tests.conftest import free_base, link_installed
from tests.integration import second_encoder
from tests.integration.live_questions import Questions
from tests.integration.running import Worker, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

SAMPLE = PROJECT / "examples" / "sample" / "photos"
FIRST, LIVE = 7_700_000, 7_800_000
PINS, PINNERS = 32, [91, 92, 93]
BEGAN = 1_750_000_000_000
SECONDS = 400


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Every part for this test alone, with a model repository of its own."""
    home = tmp_path_factory.mktemp("encoders")
    models = home / "models"
    shutil.copytree(PROJECT / "model_repo", models, ignore=shutil.ignore_patterns("__pycache__"))
    mine = replace(
        Settings.load({}),
        object_windows=1,
        home=home,
        port_base=free_base(),
        group=f"encoders-{os.getpid()}",
        model_repository=models,
    )
    link_installed(mine, *supervisor.PARTS)

    try:
        asyncio.run(stand_up(mine, lambda _: None))
        yield mine
    finally:
        supervisor.down(mine, lambda _: None)


@pytest.fixture(scope="module")
def running(stack: Settings) -> Iterator[Worker]:
    worker = Worker(stack, environment=environment(stack))
    worker.start()
    yield worker
    worker.stop()


def models(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``pinstream models …`` as people run it."""
    done = begin(settings, *arguments)
    said, complained = done.communicate(timeout=2 * SECONDS)
    return subprocess.CompletedProcess(arguments, done.returncode, said, complained)


def begin(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("pinstream")), "models", *arguments],
        env=os.environ | environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def event(pin: int, file: Path, **fields: Any) -> dict[str, Any]:
    image = f"file:{file.relative_to(PROJECT)}"
    return {"type": "created", "time": BEGAN + pin, "pin": pin, "pinner": 640, "board": 5, "image": image} | fields


class LivePins:
    """A thread that sends a pin every three seconds; some are shown anew with another picture, some deleted."""

    def __init__(self, worker: Worker, files: list[Path]) -> None:
        self.worker, self.files, self.sent = worker, files, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> LivePins:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        files = itertools.cycle(self.files)
        while not self._stop.wait(3.0):
            pin = LIVE + self.sent
            events = [event(pin, next(files))]
            if self.sent % 5 == 4:
                events.append(event(pin - 3, next(files), type="updated", time=BEGAN + pin + 10_000_000))
            if self.sent % 7 == 6:
                events.append({"type": "deleted", "pin": pin - 5, "time": BEGAN + pin + 20_000_000})
            self.worker.send("pins", events)
            self.sent += 1


def number(worker: Worker, sql: str) -> int:
    rows = worker.query(sql)
    return int(next(iter(rows.values()))[0]) if rows else 0


def test_an_encoder_takes_the_place_of_another_under_load(
    running: Worker, stack: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = sorted(SAMPLE.glob("*.jpg"))
    files, others = every[:PINS], every[PINS:]
    photos = dict(enumerate(files, FIRST))
    running.send("pins", [event(pin, file) for pin, file in photos.items()])
    understood = f"SELECT count() FROM pin_vectors FINAL WHERE pin >= {FIRST} AND notEmpty(vector)"
    until("all pins are understood", lambda: number(running, understood) == PINS, SECONDS)
    running.send(
        "saves",
        [
            {
                "event_id": 9_900_000 + at,
                "time": BEGAN + at,
                "pinner": pinner,
                "pin": FIRST + at % PINS,
                "board": pinner,
            }
            for at, pinner in enumerate(PINNERS * 5)
        ],
    )

    # One that does not load leaves everything as it is, and says why.
    broken = second_encoder.make_broken(tmp_path / "encoder_4")
    told = models(stack, "deploy", str(broken))
    assert told.returncode == 1 and "head.npz" in told.stderr and "goes on serving" in told.stderr, told
    assert not (stack.model_repository / "encoder_4").exists()
    told = models(stack, "migrate", "encoder_4")
    assert told.returncode == 1 and "does not serve encoder_4" in told.stderr, told

    second = second_encoder.make(tmp_path / "encoder_3")
    some = {pin: photos[pin] for pin in list(photos)[:12]}
    with Questions(running, some, PINNERS, {*photos}) as questions, LivePins(running, others) as live:
        until("questions are answered", lambda: questions.asked["feed"] > len(some), SECONDS)
        told = models(stack, "deploy", str(second), "--json")
        assert told.returncode == 0 and json.loads(told.stdout)["version"] == "1", told
        assert models(stack, "deploy", str(second)).returncode == 0, "it may be repeated"

        migrating = begin(stack, "migrate", "encoder_3")
        position = "SELECT position FROM encoder_fills FINAL WHERE model = 'encoder_3'"
        until("the index is filled in part", lambda: number(running, position) >= FIRST, SECONDS)

        # kill -9 in the middle: the next start goes on from what ClickHouse knows.
        questions.pause()
        running.kill()
        at = number(running, position)
        assert FIRST <= at < FIRST + PINS, "too late to be in the middle"
        migrating.kill()
        running.start()
        questions.go_on()
        told = models(stack, "migrate", "encoder_3")
        assert told.returncode == 0, told
        filled = number(running, "SELECT filled + gone FROM encoder_fills FINAL WHERE model = 'encoder_3'")
        pins = number(running, "SELECT uniqExact(pin) FROM pin_vectors")
        assert filled <= pins, "nothing is looked at twice but what was in hand"
        report = json.loads(models(stack, "migrate", "encoder_3", "--json").stdout)
        parity = report["parity"]
        with capsys.disabled():
            print(f"\nkilled at pin {at - FIRST + 1} of {PINS}\n{told.stdout}")
        assert report["state"] == "ready" and report["full"] == 1.0 and report["gone"] == 0
        for kind in ("pins", "objects"):
            assert parity[kind]["parity"] >= 0.97, "but for pins under way at that moment all are in both"
            assert parity[kind]["recall"] >= 0.95 and parity[kind]["agreement"] >= 0.9
        assert set(questions.encoders) == {"2"}, "nothing has changed so far"

        told = models(stack, "cut-over", "encoder_3", "--anyway")
        assert told.returncode == 0 and "ranker" in told.stdout.lower(), told
        until("answers are of the new encoder", lambda: questions.encoders["3"] > len(some), SECONDS)
        told = models(stack, "drop", "encoder_3")
        assert told.returncode == 1 and "serves" in told.stderr
        assert json.loads(models(stack, "cut-over", "encoder_3", "--json").stdout)["state"] == "serving"

        assert json.loads(models(stack, "rollback", "--json").stdout) == {"model": "encoder", "changed": True}
        assert json.loads(models(stack, "rollback", "--json").stdout) == {"model": None, "changed": False}
        before = questions.encoders["2"]
        until("answers are of the first encoder again", lambda: questions.encoders["2"] > before + 3, SECONDS)
        time.sleep(3)

    with capsys.disabled():
        print(f"asked {dict(questions.asked)}, answers by {dict(questions.encoders)}, {live.sent} pins sent meanwhile")
    assert not questions.failed, questions.failed[:5]
    assert not questions.mixed, questions.mixed[:5]
    assert {"2", "3"} == set(questions.encoders)

    # Whoever came during the move is in both, with what it showed last; whoever was deleted is in neither.
    newest = f"SELECT pin FROM pin_vectors FINAL WHERE pin >= {FIRST} AND notEmpty(vector)"
    gone = f"SELECT pin FROM pins FINAL WHERE pin >= {FIRST} AND deleted = 1"
    sent = f"SELECT count() FROM pins FINAL WHERE pin >= {LIVE} AND pin IN (SELECT pin FROM pin_vectors)"
    until("every live pin is understood", lambda: number(running, sent) == live.sent, SECONDS)
    until("nothing is missed", lambda: number(running, "SELECT countIf(open) FROM encoder_misses FINAL") == 0, SECONDS)
    living = set(running.query(newest)["pin"].tolist())
    deleted = set(running.query(gone).get("pin", np.empty(0)).tolist())
    assert living >= photos.keys() and not living & deleted
    until("both indexes hold the same", lambda: asyncio.run(_same(stack, living, deleted)), 60)

    told = models(stack, "drop", "encoder_3", "--json")
    assert json.loads(told.stdout) == {"model": "encoder_3", "state": "dropped", "unloaded": True}, told
    assert not (stack.model_repository / "encoder_3").exists()
    listed = json.loads(models(stack, "list", "--json").stdout)["models"]
    states = {(one["name"], one["state"]) for one in listed}
    assert ("encoder", "READY") in states and ("encoder_3", "READY") not in states
    assert asyncio.run(_count(stack, "3")) == 0 and asyncio.run(_count(stack, "")) == len(living)


async def _count(settings: Settings, suffix: str) -> int:
    store = MilvusVectors(settings).of(suffix)
    try:
        return await store.count("pins")
    finally:
        await store.close()


async def _same(settings: Settings, living: set[int], deleted: set[int]) -> bool:
    """Have both indexes exactly the living pins, and vectors that mean nothing to each other?"""
    stores = [MilvusVectors(settings).of(suffix) for suffix in ("", "3")]
    try:
        ids = np.array(sorted(living | deleted), np.int64)
        first, second = [await store.fetch("pins", ids) for store in stores]
        places = [combined_id("object", pin, at) for pin in ids.tolist() for at in range(MOST_OBJECTS + MOST_SIDE**2)]
        objects = [(await store.fetch("objects", np.array(places, np.int64))).keys() for store in stores]
    finally:
        for store in stores:
            await store.close()
    if not (first.keys() == second.keys() == living and objects[0] == objects[1]):
        return False
    order = sorted(living)
    a, b = (np.array([held[pin] for pin in order]) for held in (first, second))
    assert np.abs((a * b).sum(axis=1)).mean() < 0.3, "the test could not see a mixture"
    # Turned alike, every pair of pins is as near in one as in the other: each shows the same picture in both.
    return bool(np.abs(a @ a.T - b @ b.T).max() < 0.05)
