"""Environments of the peers that do not fit into ours: made by uv from hash-pinned requirements on first use."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from infra.part import Say
from streams.settings import PROJECT


class NotInstalled(Exception):
    """A peer could not be installed on this machine; the message says why."""


def python_of(engine: str, home: Path, say: Say) -> str:
    """The interpreter of an engine's own environment.

    Raises:
        NotInstalled: no wheel for this machine, or no registry to get it from.
    """
    requirements = PROJECT / "requirements" / f"peers-{engine}.txt"
    folder = home / "environments" / engine
    python, marker = folder / "bin" / "python", folder / "installed"
    version = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if marker.exists() and marker.read_text() == version:
        return str(python)
    say(f"{engine}: installing into an environment of its own")
    uv = str(Path(sys.executable).with_name("uv"))
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(requirements)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalled(f"{engine} cannot be installed here: {' '.join(done.stderr.split())[-300:]}")
    marker.write_text(version)
    return str(python)
