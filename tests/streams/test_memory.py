"""What is freed goes back to the system, measured in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MEASURE = """
import sys
import numpy as np
import psutil
from streams.memory import give_back

if sys.argv[1] == "given back":
    give_back()
large = np.ones(30 << 20, np.uint8)
del large  # from now on glibc puts what is smaller into its heap
gone, kept = [], []
for _ in range(150):
    gone.append(np.ones(2 << 20, np.uint8))  # what a fetch brings
    kept.append(np.ones(4096, np.uint8))  # what lives on beside it
before = psutil.Process().memory_info().rss
del gone
print((before - psutil.Process().memory_info().rss) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_holes_between_what_lives_on_go_back_to_the_system() -> None:
    assert freed("as it is") < 100, "glibc keeps them: else there is nothing to do"
    assert freed("given back") > 250


PIECES = """
import numpy as np
import psutil
from streams.memory import give_back, trim

give_back()
gone, kept = [], []
for _ in range(1_000):
    gone.append(np.ones(300_000, np.uint8))  # columns of a batch
    kept.append(np.ones(4096, np.uint8))
before = psutil.Process().memory_info().rss
del gone
held = psutil.Process().memory_info().rss
assert trim()
print((before - held) >> 20, (before - psutil.Process().memory_info().rss) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_trimming_gives_back_what_smaller_arrays_leave() -> None:
    done = subprocess.run([sys.executable, "-c", PIECES], capture_output=True, text=True, check=True)
    untrimmed, trimmed = map(int, done.stdout.split())
    assert untrimmed < 50, "else there is nothing to do"
    assert trimmed > 250


def freed(how: str) -> int:
    """MiB of 300 that the system has back."""
    done = subprocess.run([sys.executable, "-c", MEASURE, how], capture_output=True, text=True, check=True)
    return int(done.stdout)
