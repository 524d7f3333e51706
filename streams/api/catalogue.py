"""Whether a pin is there at all: asked of memory before any store is."""

from __future__ import annotations

import numpy as np

from streams.api.problems import Problem
from streams.engine import Engine


def living(engine: Engine, pin: int) -> int:
    """The same pin. Raises Problem 404 for one that nobody posted, 410 for one that was deleted."""
    catalogue, one = engine.state.catalogue, np.array([pin], np.int64)
    if catalogue.is_deleted(one)[0]:
        raise Problem(410, "deleted", f"Pin {pin} was deleted.")
    if not catalogue.known(one)[0]:
        raise Problem(404, "not-found", f"No pin {pin}: no event on the topic `pins` has named it.")
    return pin
