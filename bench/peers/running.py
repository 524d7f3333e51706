"""One run of one variant: its processes, what they answered, and whether it is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.peers import java_engines
from bench.peers.answer import Question
from bench.peers.environments import python_of
from bench.peers.job import Counts
from bench.peers.variants import APART, JAVA, Variant
from infra.part import Say
from streams.settings import PROJECT

#: A run that takes longer has failed.
SECONDS = 900.0
#: How long a process may take to end after its answer.
GOODBYE_SECONDS = 20.0


class RunFailed(Exception):
    """A process ended without an answer; the message has its last lines."""


@dataclass(frozen=True)
class Run:
    """What one run measured, over all its processes."""

    events_per_second: float
    rss_mib: float
    seconds: float
    #: Processor time of all threads and processes over the same time, seconds; the broker's is not in it.
    cpu: float
    right: bool


def command(variant: Variant, home: Path, say: Say) -> Callable[[Question], list[str]]:
    """How to ask the variant's process; installs and compiles what it needs first.

    Raises:
        NotInstalled, WrongJar, RuntimeError: the engine cannot be had on this machine.
    """
    if variant.engine in JAVA:
        java = java_engines.command(variant.engine, home, say)
        return lambda question: [*java, *_arguments(variant, question)]
    python = python_of(variant.engine, home, say) if variant.engine in APART else sys.executable
    module = f"bench.peers.engines.{variant.script}"
    return lambda question: [python, "-m", module, json.dumps(asdict(question))]


def _arguments(variant: Variant, question: Question) -> list[str]:
    """As the programs in ``java/`` take them."""
    common = [question.broker, question.topic, question.counts, question.scratch]
    if variant.engine == "flink":
        return [*common, *variant.script.split()]
    return [*common, question.group, str(question.events), *variant.script.split()]


def run(asked: Callable[[Question], list[str]], question: Question, workers: int, truth: Counts | None) -> Run:
    """Run it once. ``truth`` None: the variant counts nothing but events.

    Raises:
        RunFailed: no answer, or none in time.
    """
    with tempfile.TemporaryDirectory() as scratch:
        questions = [
            replace(question, counts=f"{scratch}/counts-{worker}", scratch=f"{scratch}/{worker}")
            for worker in range(workers)
        ]
        processes: list[subprocess.Popen[str]] = []
        logs: list[Path] = []
        try:
            for worker, one in enumerate(questions):
                Path(one.scratch).mkdir()
                logs.append(Path(scratch) / f"log-{worker}")
                with logs[-1].open("w") as log:
                    processes.append(_start(asked(one), log))
            answers = _answers(processes, logs)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        counts = [_read(Path(one.counts)) for one in questions]
    events = sum(answer["events"] for answer in answers)
    seconds = max(answer["ended"] for answer in answers) - min(answer["began"] for answer in answers)
    # What came with the first fetch was waited for before the clock ran.
    timed = events - min(answers, key=lambda answer: answer["began"])["first"]
    right = events == question.events and (truth is None or _sum(counts) == truth)
    rss = sum(answer["rss_mib"] for answer in answers)
    cpu = sum(answer["cpu"] for answer in answers)
    return Run(timed / seconds, rss, seconds, cpu, right)


def _start(command: list[str], log: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=PROJECT, env=_environment()
    )


def _environment() -> dict[str, str]:
    """Of ours, without what would reach into another environment."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def _answers(processes: list[subprocess.Popen[str]], logs: list[Path]) -> list[dict[str, Any]]:
    """Every process's answer; only then may they leave their group, so that none is rebalanced while it counts."""
    watchdog = threading.Timer(SECONDS, lambda: [process.kill() for process in processes])
    watchdog.start()
    try:
        _let_go(processes)
        answers: list[dict[str, Any]] = []
        for process, log in zip(processes, logs, strict=True):
            assert process.stdout
            said = next((line for line in process.stdout if line.startswith("{")), "")
            if not said:
                raise RunFailed(f"ended without an answer, status {process.wait()}; {_tail(log)}")
            answers.append(json.loads(said))
        for process in processes:
            assert process.stdin
            process.stdin.close()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):  # it has answered; what it does to end is its own affair
                process.wait(GOODBYE_SECONDS)
    finally:
        watchdog.cancel()
    return answers


def _let_go(processes: list[subprocess.Popen[str]]) -> None:
    """Workers of one group say when they are ready and join it together; a single one waits for nobody."""
    if len(processes) == 1:
        return
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-8:])


def _read(path: Path) -> Counts:
    pins: Counter[tuple[int, str, int]] = Counter()
    domains: Counter[tuple[str, str]] = Counter()
    with path.open() as file:
        for line in file:
            first, kind, *minute, count = line.rstrip("\n").split("\t")
            if minute:
                pins[int(first), kind, int(minute[0])] += int(count)
            else:
                domains[first, kind] += int(count)
    return Counts(pins, domains)


def _sum(counts: list[Counts]) -> Counts:
    pins: Counter[tuple[int, str, int]] = Counter()
    domains: Counter[tuple[str, str]] = Counter()
    for one in counts:
        pins.update(one.pins)
        domains.update(one.domains)
    return Counts(dict(pins), dict(domains))
