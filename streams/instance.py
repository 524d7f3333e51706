"""A worker's lasting name in its consumer group: the next start has it again, and no two workers at once."""

from __future__ import annotations

import socket
from fcntl import LOCK_EX, LOCK_NB, flock
from typing import TextIO
from uuid import uuid4

from streams.settings import Settings

#: Files that this process has locked. The kernel lets go of them when it ends, however it ends.
_held: list[TextIO] = []


def hold_name(settings: Settings) -> str | None:
    """The name that the settings give, or one of this home's that is held until the process ends.

    None while another process holds it, which then has the same ports too. The worker's address is a part of it: what
    the group gave to a name tells the address, and Faust fails on what was given to another.
    """
    address = f"{settings.host}:{settings.port('faust')}"
    if settings.instance:
        return f"{settings.instance}-{address}"
    folder = settings.home / "run" / "names"
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / address).open("a+")
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    _held.append(file)
    file.seek(0)
    word = file.read()
    if not word:  # a random one, as homes of one group may be on several machines of one name
        word = uuid4().hex[:12]
        file.write(word)
        file.flush()
    # With the machine's, as a home may be copied with its machine.
    return f"{socket.gethostname()}-{word}-{address}"
