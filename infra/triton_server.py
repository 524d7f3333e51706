"""Becomes Triton, which begins with the models that somebody waits for; a helper asks for the others when those serve.

Loading a model takes two seconds of a core, an import of torch for each. All at once, after a kill on a busy machine,
nothing is understood until the last of them is there.

``python -m infra.triton_server <address> <later models, by commas> <command…>``
"""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path

from infra.become import become

#: Seconds between two looks at whether it answers, and those that one model may take to load.
PAUSE, LONGEST = 0.2, 300.0


def main(address: str, later: str, *command: str) -> None:
    """Leave the helper behind and become the server."""
    become(command, partial(_load, address, [name for name in later.split(",") if name]))


def _load(address: str, later: list[str]) -> None:
    server = Path(f"/proc/{os.getsid(0)}")
    while server.exists() and not _answered(f"{address}/v2/health/ready", None, PAUSE):
        time.sleep(PAUSE)
    for name in later:
        # One that fails says why in Triton's index, which is where `pinstream up` looks.
        _answered(f"{address}/v2/repository/models/{name}/load", b"{}", LONGEST)


def _answered(url: str, data: bytes | None, seconds: float) -> bool:
    with suppress(OSError, HTTPException), urllib.request.urlopen(url, data, timeout=seconds) as answer:  # noqa: S310
        return answer.status == 200
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
