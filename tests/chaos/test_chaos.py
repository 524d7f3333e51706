"""The short form: each part dies once under load, and nothing is lost or double. ``make chaos`` is the long one."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from infra.ports import is_free
from tests.chaos.report import summary, table
from tests.chaos.run import run
from tests.chaos.schedule import short
from tests.chaos.stack import Stack

SEED = 11
#: Apart from the other tests' parts, which are up too.
BASES = range(20_000, 27_000, 700)
RATE = 80.0

# Alone, as a part has to be back in time whatever else the machine does.
pytestmark = [pytest.mark.real, pytest.mark.alone, pytest.mark.timeout(1200)]


def test_nothing_is_lost_or_double_whatever_dies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = next(base for base in random.sample(BASES, len(BASES)) if all(map(_free, range(base, base + 700))))
    with Stack(tmp_path / "home", base, print) as stack:
        outcome = run(stack, short(SEED), SEED, RATE, minutes=12, say=print)
    with capsys.disabled():
        print("\n" + table(outcome))
    assert outcome.audit.exact, "\n".join(outcome.audit.differences)
    assert len(outcome.done) == len(short(SEED))
    assert all(one.recovered is not None for one in outcome.done), json.dumps(summary(outcome)["done"], default=str)
    assert outcome.audit.numbers["events counted"] > 1000


def _free(port: int) -> bool:
    return is_free("127.0.0.1", port)
