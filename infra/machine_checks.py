"""Checks of the machine: what must be there before anything starts. One function a check."""

from __future__ import annotations

import platform
import shutil
import sys

import psutil

from infra import kafka_jars, supervisor, weights
from infra.finding import Finding, good, note, wrong
from infra.ports import is_free, owner
from infra.process import remembered
from streams.settings import PROJECT, Settings

GIGABYTE = 2**30
#: What all embedded parts and one worker hold at rest, with room for the models.
MEMORY_NEEDED = 5 * GIGABYTE
DISK_NEEDED = 5 * GIGABYTE


def python_version(settings: Settings) -> Finding:
    found = platform.python_version()
    if sys.version_info[:2] == (3, 11):
        return good("python", f"Python is {found}.")
    return wrong(
        "python", f"Python is {found}; the pinned packages are for 3.11.", "make clean setup PYTHON=python3.11"
    )


def processor(settings: Settings) -> Finding:
    system, machine = platform.system(), platform.machine()
    if (system, machine) == ("Linux", "x86_64"):
        return good("platform", f"{system} on {machine} runs every embedded part.")
    fix = "run the parts as servers (docker-compose.yml) and set PINSTREAM_MILVUS, PINSTREAM_TRITON to their addresses"
    return note("platform", f"{system} on {machine}: the embedded Milvus and Triton are built for Linux x86_64.", fix)


def environments(settings: Settings) -> Finding:
    needed = {".venv": True, ".venv-models": _runs(settings, "triton"), ".venv-milvus": _runs(settings, "milvus")}
    missing = [name for name, used in needed.items() if used and not (PROJECT / name / "bin" / "python").exists()]
    if missing:
        return wrong("environments", f"{', '.join(missing)} is missing.", "make setup")
    return good("environments", f"{', '.join(name for name, used in needed.items() if used)} are there.")


def downloads(settings: Settings) -> Finding:
    """Kafka's jars and the models' weights, and what the wheels unpack."""
    missing: list[str] = []
    if _runs(settings, "kafka") and not kafka_jars.complete(settings.home / "kafka"):
        missing.append("Kafka's jars")
    if _runs(settings, "milvus") and not (settings.home / "milvus" / "milvus").exists():
        missing.append("Milvus's server")
    if _runs(settings, "triton") and any(
        not (settings.home / "weights" / weight.name).exists() for weight in weights.WEIGHTS
    ):
        missing.append("the models' weights")
    if missing:
        return wrong("downloads", f"Not installed yet: {', '.join(missing)}.", "pinstream up --install-only")
    return good("downloads", "Kafka's jars, Milvus's server and the models' weights are installed.")


def memory(settings: Settings) -> Finding:
    available = psutil.virtual_memory().available
    running = any(remembered(settings, name) for name in supervisor.PARTS)
    told = f"{available / GIGABYTE:.1f} GB of memory are available"
    if available < MEMORY_NEEDED and not running:
        fix = "close something, or set PINSTREAM_MILVUS=lite, which saves a process"
        return note("memory", f"{told}; all parts together want about {MEMORY_NEEDED // GIGABYTE} GB.", fix)
    return good("memory", f"{told}.")


def disk(settings: Settings) -> Finding:
    folder = settings.home if settings.home.exists() else settings.home.parent
    free = shutil.disk_usage(folder).free
    if free < DISK_NEEDED:
        fix = "make room, or set PINSTREAM_HOME to a folder on another disk"
        return wrong("disk", f"Only {free / GIGABYTE:.1f} GB are free at {folder}.", fix)
    return good("disk", f"{free / GIGABYTE:.0f} GB are free at {folder}.")


def ports(settings: Settings) -> list[Finding]:
    """Every port of an embedded part that does not run is free."""
    findings: list[Finding] = []
    for name in supervisor.embedded(settings):
        if remembered(settings, name):
            findings.append(good("ports", f"The ports of {name} are its own."))
            continue
        try:
            part = supervisor.describe(settings, name)
        except FileNotFoundError:  # its environment is missing, which `environments` says
            continue
        taken = {key: port for key, port in part.ports.items() if not is_free(settings.host, port)}
        for key, port in taken.items():
            setting = key if key in Settings.PORTS else name
            fix = f"stop it, or set PINSTREAM_PORT_{setting.upper()} or PINSTREAM_PORT_BASE"
            findings.append(wrong("ports", f"Port {port} ({key}) is taken by {owner(port)}.", fix))
        if not taken:
            findings.append(good("ports", f"The ports of {name} are free."))
    return findings


def _runs(settings: Settings, name: str) -> bool:
    return name in supervisor.embedded(settings)


CHECKS = (python_version, processor, environments, downloads, memory, disk)
__all__ = ["CHECKS", "ports"]
