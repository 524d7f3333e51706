"""Becomes the Milvus server; a helper ends the sessions that a killed server left behind.

Milvus keeps each role's session in its etcd until the lease ends, and a new server waits for that. A short lease makes
the start after a kill quick, but a server that was held up for as long as its lease (a slow disk, a paused machine)
finds its sessions gone and stays ``Abnormal`` for ever. So the lease is long, and what a dead server left is taken
away as soon as the new one has its number: every start counts up ``session/id``, and only one server can run on the
folder, as etcd's files and port are its own.

``python -m infra.milvus_server <etcd's address> <sessions' path> <command…>``
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from infra.become import become

#: How long the helper looks (seconds), and how often. A server has its number within a few seconds of its start.
LOOKS_FOR, PAUSE = 60.0, 0.2


def main(etcd: str, path: str, *command: str) -> None:
    """Leave the helper behind and become the server."""
    become(command, partial(_end_old_sessions, etcd, path))


def _end_old_sessions(etcd: str, path: str) -> None:
    server, until = Path(f"/proc/{os.getsid(0)}"), time.monotonic() + LOOKS_FOR
    while time.monotonic() < until and server.exists():
        try:
            for lease in old_leases(sessions(etcd, path)):
                _ask(etcd, "lease/revoke", {"ID": str(lease)})
        except (OSError, ValueError):
            pass  # etcd is not up yet, or down again
        time.sleep(PAUSE)


def sessions(etcd: str, path: str) -> dict[str, str]:
    """What etcd holds below ``path``: each role's session, and under ``id`` the number of the next server."""
    answer = _ask(etcd, "kv/range", {"key": _base64(path + "/"), "range_end": _base64(path + "0")})
    pairs = (
        (base64.b64decode(kv["key"]).decode(), base64.b64decode(kv["value"]).decode()) for kv in answer.get("kvs", [])
    )
    return {key.removeprefix(path + "/"): value for key, value in pairs}


def old_leases(found: dict[str, str]) -> set[int]:
    """The leases of all servers but the newest: of the dead."""
    newest = int(found.get("id", 0)) - 1
    held = [json.loads(value) for role, value in found.items() if role != "id"]
    return {session["LeaseID"] for session in held if session["ServerID"] < newest}


def _ask(etcd: str, call: str, question: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(f"{etcd}/v3/{call}", json.dumps(question).encode())  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
        return json.load(answer)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


if __name__ == "__main__":
    main(*sys.argv[1:])
