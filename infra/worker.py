"""Workers as parts of ``pinstream run``: ``pinstream worker``, each with ports of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.part import Part
from infra.ports import answers
from streams.settings import PROJECT, Settings

#: The ports of worker n are those of the first plus n times this.
STEP = 100


def part(settings: Settings, number: int) -> Part:
    """Worker ``number``, counted from 0. Only the first is where the settings say that the API is."""
    ports = {name: settings.port(name) + number * STEP for name in ("api", "faust")}
    command = [str(Path(sys.executable).with_name("pinstream")), "worker"]
    return Part(
        name=f"worker-{number}",
        command=command,
        spare=[*command, "--standby"] if settings.spare_workers else [],
        ports=ports,
        address=f"http://{settings.host}:{ports['api']}",
        ready=lambda: answers(settings.host, ports["api"]),
        environment={f"PINSTREAM_PORT_{name.upper()}": str(port) for name, port in ports.items()},
        folder=PROJECT,
        stop_timeout=60.0,  # what is under way is stored first
    )
