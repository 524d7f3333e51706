"""Times as people say them on the command line."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def milliseconds(text: str) -> int:
    """``2h`` (ago; s, m, h or d) or an ISO time (UTC unless it says otherwise), as milliseconds since the epoch.

    Raises ValueError.
    """
    if relative := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])(?: ago)?", text.strip()):
        return int((time.time() - float(relative[1]) * _UNITS[relative[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no time, such as 2h, 30m, 2026-05-01 or 2026-05-01T12:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
